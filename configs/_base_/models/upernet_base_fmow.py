# UPerNet on DynamicVis base: backbone (first stage frozen) and FPN start from the
# pretraining on fMoW.
_base_ = ['upernet.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
)
