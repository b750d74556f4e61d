# Change detection on DynamicVis large: backbone and FPN start from the pretraining on fMoW.
_base_ = ['siamese.py']

pretrained = 'checkpoints/dynamicvis_large_fmow.safetensors'
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(
        fpn=dict(
            in_channels=[128, 256, 512, 1024],
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.'),
        ),
    ),
)
