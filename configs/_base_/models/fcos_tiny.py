# FCOS for images of 256 px on small machines: DynamicVis tiny, 64 channels after it, two
# convolutions per branch. The ranges of sizes are scaled with the size of the input.
_base_ = ['fcos.py']

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        regress_ranges=((0, 10), (8, 20), (16, 40), (32, 80), (64, 256)),
    ),
)
