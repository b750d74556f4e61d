# UPerNet with DynamicVis tiny of three modalities, Sentinel-2, Sentinel-1 and elevation, on land
# cover at 10 m, from scratch.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py
_base_ = [
    '../_base_/models/upernet_tiny.py',
    '../_base_/datasets/terramind_lulc_224px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdynamicvis.MultiModalDynamicVis',
        arch='tiny',
        img_size=224,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        position_embedding='metric',
        primary='sentinel2',
        modalities=dict(
            sentinel2=dict(bands=_base_.s2_bands, gsd=10.0, unit='reflectance'),
            sentinel1=dict(bands=('VV', 'VH'), gsd=10.0, unit='dB'),
            dem=dict(bands=('DEM',), gsd=10.0, unit='stored'),
        ),
    ),
    neck=dict(
        _delete_=True,
        type='mmdynamicvis.ModalityNeck',
        in_channels=(48, 96, 192, 384),
        modalities=('sentinel2', 'sentinel1', 'dem'),
        # meters: strides 4, 8, 16 and 32 at 10 m
        cells=(40.0, 80.0, 160.0, 320.0),
        out_channels=64,
    ),
    decode_head=dict(num_classes=9),
    auxiliary_head=dict(num_classes=9),
    test_cfg=dict(mode='whole'),
)
custom_hooks = []
train_cfg = dict(max_epochs=50)
default_hooks = dict(
    checkpoint=dict(save_best='mIoU'),
    # over red, green and blue of Sentinel-2
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[4, 3, 2]),
)
