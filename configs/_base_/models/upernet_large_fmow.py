# UPerNet on DynamicVis large: backbone (first stage frozen) and FPN start from the
# pretraining on fMoW.
_base_ = ['upernet.py']

pretrained = 'checkpoints/dynamicvis_large_fmow.safetensors'
model = dict(
    backbone=dict(
        arch='large',
        frozen_stages=0,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(
        in_channels=[128, 256, 512, 1024],
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.'),
    ),
)
