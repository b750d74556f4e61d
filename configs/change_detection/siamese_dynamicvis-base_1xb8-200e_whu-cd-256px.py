# Change detection with DynamicVis base on WHU-CD, pairs at their own size.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 93.73. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-200e_whu-cd-256px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['siamese_dynamicvis-base_1xb8-200e-scratch_whu-cd-256px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(
        fpn=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    ),
)
