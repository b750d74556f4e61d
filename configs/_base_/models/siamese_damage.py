# Building damage on DynamicVis base: buildings from the first date alone, the damage of each from
# both dates. Backbone, FPN, fusion and decoder are those of change detection (siamese.py); another
# decoder is for the first date. The damage is learned and predicted within buildings only. The
# losses and their weights are those of ChangeMamba (https://arxiv.org/abs/2404.03425). For another
# arch, set neck.fpn.in_channels. Several GPUs: sync_bn='torch'.
default_scope = 'mmseg'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(type='mmdynamicvis.MultiTaskTTAModel')
norm_cfg = dict(type='BN')
decoder = dict(
    type='mmdynamicvis.UNetDecoder', in_channels=[256] * 5, num_convs=2, norm_cfg=norm_cfg
)
cross_entropy = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
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
        decoder=decoder,
    ),
    date_decoder=decoder,
    decode_head=dict(
        location=dict(
            head,
            num_classes=2,
            loss_decode=[
                cross_entropy,
                dict(type='mmdynamicvis.MaskedLovaszLoss', loss_weight=0.5),
            ],
        ),
        damage=dict(
            head,
            num_classes=4,  # levels; there is none outside of buildings
            loss_decode=[
                cross_entropy,
                dict(type='mmdynamicvis.MaskedLovaszLoss', loss_weight=0.75),
            ],
        ),
    ),
    outputs=[
        dict(name='location', head='location', of='from'),
        dict(name='damage', head='damage', of='pair', within='location'),
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
