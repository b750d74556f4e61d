# Change detection on DynamicVis base: both dates through one backbone and FPN (five levels, as in
# the pretraining), joined by concatenation and a 1 x 1 convolution, a U-Net's decoder, an MLP head.
# The loss is cross entropy + 3 x Dice, both without ignored pixels. A config adds test_cfg
# if it tests by sliding windows, and for another arch sets neck.fpn.in_channels. Several GPUs:
# sync_bn='torch'.
default_scope = 'mmseg'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(type='mmseg.SegTTAModel')
custom_hooks = [
    # error maps of the target class, a picture per test pair, in the run's log folder
    dict(type='mmdynamicvis.ErrorMapHook', out_dir='error_maps'),
]
norm_cfg = dict(type='BN')
model = dict(
    type='mmdynamicvis.SiameseEncoderDecoder',
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
        # with mode='difference' or 'sum', the order of the dates does not matter
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
    decode_head=dict(
        type='mmseg.SegformerHead',  # a 1 x 1 convolution per level, another on all of them
        in_channels=[256] * 5,
        in_index=[0, 1, 2, 3, 4],
        channels=256,
        num_classes=2,
        dropout_ratio=0,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=[
            dict(type='mmseg.CrossEntropyLoss'),
            dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
