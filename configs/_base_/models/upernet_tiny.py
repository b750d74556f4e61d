# UPerNet for images of 256 px on small machines: DynamicVis tiny, 64 channels in the neck, 32 in
# the heads. Their last layers are initialized with larger weights than mmseg's 0.01. Otherwise,
# with so few channels and a rare target, the first steps drive all outputs to background for good.
_base_ = ['upernet.py']

head_init = dict(type='Normal', std=0.1, override=dict(name='conv_seg'))
model = dict(
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=32, init_cfg=head_init),
    auxiliary_head=dict(in_channels=64, channels=32, init_cfg=head_init),
)
