# Semantic change detection on DynamicVis base: a map of change from both dates together, and one of
# the land cover of each date, where something has changed, by one head. Backbone, FPN and fusion
# are those of siamese.py, and so is the loss of change. The land cover of each date has half a
# cross entropy, and both dates the semantic consistency of Bi-SRNet. A config sets the head's
# classes of land cover, without that of no change, and for another arch neck.fpn.in_channels.
# Several GPUs: sync_bn='torch'. For the SeK loss of Mamba-FCS, add to joint_losses
#   dict(type='mmdynamicvis.SeKLoss')
default_scope = 'mmseg'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(type='mmdynamicvis.MultiTaskTTAModel')
custom_hooks = [
    # error maps of the change, a picture per test pair, in the run's log folder
    dict(type='mmdynamicvis.ErrorMapHook', out_dir='error_maps', output='change'),
]
norm_cfg = dict(type='BN')
head = dict(
    type='mmseg.SegformerHead',  # a 1 x 1 convolution per level, another on all of them
    in_channels=[256] * 5,
    in_index=[0, 1, 2, 3, 4],
    channels=256,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    align_corners=False,
)
model = dict(
    type='mmdynamicvis.MultiTaskSiamese',
    backbone=dict(
        type='mmdynamicvis.DynamicVis',
        arch='base',
        published=True,
        img_size=512,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
    ),
    neck=dict(
        type='mmdynamicvis.PairNeck',
        fpn=dict(type='mmseg.FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
        fusion=dict(
            type='mmdynamicvis.PairFusion',
            channels=256,
            num_levels=5,
            mode='concat',
            norm_cfg=norm_cfg,
        ),
        decoder=dict(
            type='mmdynamicvis.UNetDecoder', in_channels=[256] * 5, num_convs=2, norm_cfg=norm_cfg
        ),
    ),
    date_decoder=dict(
        type='mmdynamicvis.UNetDecoder', in_channels=[256] * 5, num_convs=2, norm_cfg=norm_cfg
    ),
    outputs=[
        dict(name='change', head='change'),
        dict(name='semantic_from', head='semantic', of='from', within='change'),
        dict(name='semantic_to', head='semantic', of='to', within='change'),
    ],
    decode_head=dict(
        change=dict(
            head,
            num_classes=2,
            loss_decode=[
                dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
                dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
            ],
        ),
        semantic=dict(
            head,
            num_classes=6,
            # pixels without change are ignored, and must not count in the mean either
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.5),
        ),
    ),
    joint_losses=[dict(type='mmdynamicvis.SemanticConsistencyLoss')],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
