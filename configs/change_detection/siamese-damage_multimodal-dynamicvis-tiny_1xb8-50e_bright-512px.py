# Building damage with DynamicVis tiny of two modalities on BRIGHT: buildings from an optical image,
# the damage of each from that and a SAR image after the disaster. From scratch.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis siamese-damage_multimodal-dynamicvis-tiny_1xb8-50e_bright-512px.py
_base_ = [
    '../_base_/models/siamese_damage_tiny.py',
    '../_base_/datasets/bright_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdynamicvis.MultiModalDynamicVis',
        arch='tiny',
        img_size=512,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
        primary='optical',
        modalities=dict(
            optical=dict(bands=('blue', 'green', 'red'), gsd=0.5, unit='uint8'),
            sar=dict(bands=('amplitude',), gsd=0.5, unit='uint8'),
        ),
    ),
    modality_neck=dict(
        type='mmdynamicvis.ModalityNeck',
        in_channels=(48, 96, 192, 384),
        modalities=('optical', 'sar'),
        # meters: strides 4, 8, 16 and 32 at 0.5 m
        cells=(2.0, 4.0, 8.0, 16.0),
        # each date has one modality
        drop=0,
    ),
    dates=dict(optical=[0], sar=[1]),
    # head for three levels: intact, damaged, destroyed
    decode_head=dict(damage=dict(num_classes=3)),
    test_cfg=dict(mode='whole'),
)
train_cfg = dict(max_epochs=50)
default_hooks = dict(
    checkpoint=dict(save_best='damage/mIoU'),
    # over the optical image
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[1, 2, 3]),
)
