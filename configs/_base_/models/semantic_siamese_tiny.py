# Semantic change detection on small machines: DynamicVis tiny and 64 channels and fewer
# convolutions after it.
_base_ = ['semantic_siamese.py']

decoder = dict(in_channels=[64] * 5, num_convs=1)
model = dict(
    backbone=dict(arch='tiny', published=False),
    neck=dict(
        fpn=dict(in_channels=[48, 96, 192, 384], out_channels=64),
        fusion=dict(channels=64),
        decoder=decoder,
    ),
    date_decoder=decoder,
    decode_head=dict(
        change=dict(in_channels=[64] * 5, channels=64),
        semantic=dict(in_channels=[64] * 5, channels=64),
    ),
)
