# Change detection with DynamicVis large on WHU-CD, pairs at their own size.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 93.60. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-large_1xb8-200e_whu-cd-256px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_large_fmow.py',
    '../_base_/datasets/whu_cd_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=256),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)),
)
train_cfg = dict(max_epochs=200)
