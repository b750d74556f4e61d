# Rotated FCOS over DynamicVis base, five levels from stride 4, the FPN of the pretraining. Angles
# in [-90, 90) degrees (le90) by mmrotate's phase-shifting coder, without a jump at the ends of the
# range. Sides are learned by the IoU of distances, so that no loss needs rotated IoUs, whose
# gradients mmcv computes only on GPUs. A config adds bbox_head.num_classes and, for another arch,
# sets neck.in_channels.
# Settings of the head are mmrotate's, with ranges halved like the strides.
default_scope = 'mmrotate'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='RotLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(
    type='mmdynamicvis.RotatedTTAModel',
    tta_cfg=dict(nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=2000),
)
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
model = dict(
    type='mmdet.FCOS',
    backbone=dict(
        type='mmdynamicvis.DynamicVis',
        arch='base',
        published=True,
        img_size=1024,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
    ),
    neck=dict(type='mmdet.FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
    bbox_head=dict(
        type='RotatedFCOSHead',
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        strides=[4, 8, 16, 32, 64],
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8)),
        center_sampling=True,
        center_sample_radius=1.5,
        norm_on_bbox=True,
        centerness_on_reg=True,
        use_hbbox_loss=True,
        scale_angle=False,
        bbox_coder=dict(type='DistanceAnglePointCoder', angle_version='le90'),
        angle_coder=dict(type='PSCCoder', angle_version='le90', dual_freq=True, num_step=3),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0
        ),
        loss_bbox=dict(type='mmdet.IoULoss', loss_weight=1.0),
        loss_angle=dict(type='mmdet.L1Loss', loss_weight=0.1),
        loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    test_cfg=dict(
        nms_pre=2000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms_rotated', iou_threshold=0.1),
        max_per_img=2000,
    ),
)
