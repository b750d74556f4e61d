# UPerNet with DynamicVis base on WHU buildings, images at their own size.
# Backbone (first stage frozen) and FPN start from the pretraining on fMoW.
# Paper: IoU 90.98. Ours: not reproduced.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e_whu-building-512px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['upernet_dynamicvis-base_1xb8-200e-scratch_whu-building-512px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
)
