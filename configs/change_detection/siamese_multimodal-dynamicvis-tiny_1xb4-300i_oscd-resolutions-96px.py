# Change detection with DynamicVis tiny on OSCD in all 13 bands, each at its own resolution: three
# patch embeddings, for the bands of 10, 20 and 60 m, whose first tokens are of 40, 40 and 60 m.
# From scratch, for small machines.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis siamese_multimodal-dynamicvis-tiny_1xb4-300i_oscd-resolutions-96px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/oscd_resolutions_96px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdynamicvis.MultiModalDynamicVis',
        arch='tiny',
        img_size=96,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
        position_embedding='metric',
        cell=320.0,
        primary='s2_10m',
        modalities=dict(
            s2_10m=dict(bands=_base_.bands.s2_10m, gsd=10.0, unit='stored'),
            s2_20m=dict(bands=_base_.bands.s2_20m, gsd=20.0, unit='stored'),
            s2_60m=dict(bands=_base_.bands.s2_60m, gsd=60.0, unit='stored'),
        ),
    ),
    modality_neck=dict(
        type='mmdynamicvis.ModalityNeck',
        in_channels=(48, 96, 192, 384),
        modalities=('s2_10m', 's2_20m', 's2_60m'),
        # meters: strides 4, 8, 16 and 32 at 10 m
        cells=(40.0, 80.0, 160.0, 320.0),
        drop=0.0,  # no pair lacks a modality
    ),
    decode_head=dict(
        loss_decode=[
            # one of fifty pixels has changed
            dict(type='mmseg.CrossEntropyLoss', class_weight=[1.0, 10.0]),
            dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
        ],
    ),
)
# error maps need images of three bands
custom_hooks = []
default_hooks = dict(
    checkpoint=dict(save_best='target/f1', rule='greater'),
    # over red, green and blue of the first date
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[3, 2, 1]),
)
