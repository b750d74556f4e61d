# Rotated RetinaNet over DynamicVis base, five levels from stride 4, the FPN of the pretraining,
# three horizontal anchors per location. Angles in [-90, 90) degrees (le90). The lightest head here,
# without regions, and with only horizontal IoUs. A config adds bbox_head.num_classes and, for
# another arch, sets neck.in_channels.
# Settings of the head are mmrotate's, except for the levels and one anchor scale instead of three.
default_scope = 'mmrotate'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='RotLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(
    type='mmdynamicvis.RotatedTTAModel',
    tta_cfg=dict(nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=2000),
)
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
model = dict(
    type='mmdet.RetinaNet',
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
        type='mmdet.RetinaHead',
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0, 0.5, 2.0],
            strides=[4, 8, 16, 32, 64],
            use_box_type=True,
        ),
        bbox_coder=dict(
            type='DeltaXYWHTHBBoxCoder',
            angle_version='le90',
            norm_factor=None,
            edge_swap=True,
            target_means=(0.0, 0.0, 0.0, 0.0, 0.0),
            target_stds=(1.0, 1.0, 1.0, 1.0, 1.0),
        ),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0
        ),
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
            iou_calculator=dict(type='RBbox2HBboxOverlaps2D'),
        ),
        # the focal loss uses all anchors
        sampler=dict(type='mmdet.PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=2000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms_rotated', iou_threshold=0.1),
        max_per_img=2000,
    ),
)
