# Buildings at both dates, by one head from the features of each date, and the change between them,
# by another from the features of the pair, for images of 256 px on small machines: siamese.py with
# DynamicVis tiny, 64 channels after it, and a decoder of each date. Labels of either may be missing
# in a sample (255), and have no gradient then.
_base_ = ['siamese.py']

tta_model = dict(type='mmdynamicvis.MultiTaskTTAModel')
custom_hooks = []
norm_cfg = dict(type='BN')
head = dict(
    type='mmseg.SegformerHead',
    in_channels=[64] * 5,
    in_index=[0, 1, 2, 3, 4],
    channels=64,
    num_classes=2,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    align_corners=False,
    loss_decode=[
        dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
        dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
    ],
)
model = dict(
    type='mmdynamicvis.MultiTaskSiamese',
    backbone=dict(arch='tiny', published=False, img_size=256),
    neck=dict(
        fpn=dict(in_channels=[48, 96, 192, 384], out_channels=64),
        fusion=dict(channels=64),
        decoder=dict(in_channels=[64] * 5, num_convs=1),
    ),
    date_decoder=dict(
        type='mmdynamicvis.UNetDecoder', in_channels=[64] * 5, num_convs=1, norm_cfg=norm_cfg
    ),
    decode_head=dict(_delete_=True, change=head, buildings=head),
    outputs=[
        dict(name='change', head='change'),
        dict(name='buildings_from', head='buildings', of='from'),
        dict(name='buildings_to', head='buildings', of='to'),
    ],
)
