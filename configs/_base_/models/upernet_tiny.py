# UPerNet for images of 256 px on small machines: DynamicVis tiny, 64 channels in the neck, 32 in
# the heads.
_base_ = ['upernet.py']

model = dict(
    backbone=dict(arch='tiny', img_size=256, normalize_importance=True),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=32),
    auxiliary_head=dict(in_channels=64, channels=32),
)
