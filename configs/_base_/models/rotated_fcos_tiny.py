# Rotated FCOS for small machines and images of 256 px: DynamicVis tiny, 64 channels after it.
_base_ = ['rotated_fcos.py']

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    bbox_head=dict(
        in_channels=64,
        stacked_convs=2,
        feat_channels=64,
        regress_ranges=((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8)),
    ),
    test_cfg=dict(nms_pre=300, max_per_img=100),
)
