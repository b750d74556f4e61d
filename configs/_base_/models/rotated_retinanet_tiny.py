# Rotated RetinaNet for small machines and images of 256 px: DynamicVis tiny, 64 channels after it.
_base_ = ['rotated_retinanet.py']

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    bbox_head=dict(
        in_channels=64,
        stacked_convs=2,
        feat_channels=64,
        anchor_generator=dict(octave_base_scale=2),
    ),
    test_cfg=dict(nms_pre=300, max_per_img=100),
)
