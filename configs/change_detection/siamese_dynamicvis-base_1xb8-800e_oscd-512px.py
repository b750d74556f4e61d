# Change detection with DynamicVis base on OSCD, pairs enlarged twice.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 59.90. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e_oscd-512px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['siamese_dynamicvis-base_1xb8-800e-scratch_oscd-512px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(
        fpn=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    ),
)
