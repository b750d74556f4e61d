# DynamicVis base, FPN, mmdet's generic RoI extractor (GRoIE) over the four finest levels, and the
# head of the region pretraining (paper section 3.4). A config adds head.classes and, for another
# arch, sets neck.in_channels.
default_scope = 'mmdet'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
custom_hooks = [
    dict(type='mmdynamicvis.ExactResumeHook'),
    dict(type='mmdynamicvis.SelectionStatisticsHook', interval=50),
    dict(type='NumClassCheckHook'),
]
model = dict(
    type='mmdynamicvis.MILPretrainer',
    backbone=dict(
        type='mmdynamicvis.DynamicVis',
        arch='base',
        published=True,
        img_size=512,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
    ),
    neck=dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
    roi_extractor=dict(
        type='GenericRoIExtractor',
        aggregation='sum',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
        out_channels=256,
        featmap_strides=[4, 8, 16, 32],
        pre_cfg=dict(
            type='ConvModule',
            in_channels=256,
            out_channels=256,
            kernel_size=5,
            padding=2,
            inplace=False,
        ),
        post_cfg=dict(
            type='GeneralizedAttention',
            in_channels=256,
            spatial_range=-1,
            num_heads=6,
            attention_type='0100',
            kv_stride=2,
        ),
    ),
    head=dict(type='mmdynamicvis.MILHead', in_channels=256, label_smoothing=0.1, mil_weight=0.5),
)
