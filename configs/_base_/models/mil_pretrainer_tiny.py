# DynamicVis tiny with 64 channels after it, for crops of 192 px on small machines.
_base_ = ['mil_pretrainer.py']

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=192),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    roi_extractor=dict(
        out_channels=64,
        pre_cfg=dict(in_channels=64, out_channels=64),
        post_cfg=dict(in_channels=64, num_heads=4),
    ),
    head=dict(in_channels=64),
    selection_weight=0.5,
)
