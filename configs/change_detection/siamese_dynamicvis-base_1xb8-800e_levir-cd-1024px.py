# Change detection with DynamicVis base on LEVIR-CD, pairs enlarged twice.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 92.05. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e_levir-cd-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_base_fmow.py',
    '../_base_/datasets/levir_cd_1024px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=1024),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(512, 512)),
)
