# Change detection with DynamicVis base on OSCD, pairs at their own size.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 56.23. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e_oscd-256px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_base_fmow.py',
    '../_base_/datasets/oscd_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=256),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)),
)
