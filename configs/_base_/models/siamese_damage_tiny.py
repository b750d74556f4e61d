# Building damage for images of 256 px on small machines: DynamicVis tiny and 64 channels and fewer
# convolutions after it.
_base_ = ['siamese_damage.py']

narrow = dict(in_channels=[64] * 5, channels=64)
model = dict(
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(
        fpn=dict(in_channels=[48, 96, 192, 384], out_channels=64),
        fusion=dict(channels=64),
        decoder=dict(in_channels=[64] * 5, num_convs=1),
    ),
    date_decoder=dict(in_channels=[64] * 5, num_convs=1),
    decode_head=dict(location=narrow, damage=narrow),
)
