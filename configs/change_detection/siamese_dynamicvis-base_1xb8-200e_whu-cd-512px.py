# Change detection with DynamicVis base on WHU-CD, pairs enlarged twice.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 94.27. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-200e_whu-cd-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_base_fmow.py',
    '../_base_/datasets/whu_cd_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)))
train_cfg = dict(max_epochs=200)
