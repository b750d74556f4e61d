# FCOS on DynamicVis base for tiny objects: five levels from stride 4 to 64, whose ranges of sizes
# overlap on purpose: an object of 18 px is learned on the first level and on the second. Settings
# are those of the published LEVIR-Ship config. A config adds bbox_head.num_classes and, for another
# arch, sets neck.in_channels.
default_scope = 'mmdet'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
custom_hooks = [dict(type='NumClassCheckHook')]
model = dict(
    type='FCOS',
    backbone=dict(
        type='mmdynamicvis.DynamicVis',
        arch='base',
        published=True,
        img_size=1024,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
    ),
    neck=dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
    bbox_head=dict(
        type='FCOSHead',
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        strides=[4, 8, 16, 32, 64],
        regress_ranges=((0, 20), (16, 40), (32, 80), (64, 160), (128, 1024)),
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        conv_bias=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
        loss_bbox=dict(type='GIoULoss'),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100,
    ),
)
