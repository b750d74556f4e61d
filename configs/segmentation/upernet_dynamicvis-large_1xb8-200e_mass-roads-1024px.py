# UPerNet with DynamicVis large on Massachusetts roads, images enlarged twice.
# Backbone (first stage frozen) and FPN start from the pretraining on fMoW.
# Paper: IoU 67.06. Ours: not reproduced.
#   mim train mmdynamicvis upernet_dynamicvis-large_1xb8-200e_mass-roads-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['upernet_dynamicvis-large_1xb8-200e-scratch_mass-roads-1024px.py']

pretrained = 'checkpoints/dynamicvis_large_fmow.safetensors'
model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
)
