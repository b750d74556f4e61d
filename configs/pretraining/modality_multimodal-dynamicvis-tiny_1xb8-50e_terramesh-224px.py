# Pretraining of DynamicVis tiny on Sentinel-2, Sentinel-1 and elevation of the same places, without
# labels, for upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py, whose backbone is
# the same.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis modality_multimodal-dynamicvis-tiny_1xb8-50e_terramesh-224px.py
_base_ = [
    '../_base_/models/modality_pretrainer_tiny.py',
    '../_base_/datasets/terramesh_224px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        img_size=224,
        primary='sentinel2',
        modalities=dict(
            sentinel2=dict(bands=_base_.s2_bands, gsd=10.0, unit='reflectance'),
            sentinel1=dict(bands=('VV', 'VH'), gsd=10.0, unit='dB'),
            dem=dict(bands=('DEM',), gsd=10.0, unit='stored'),
        ),
    ),
    neck=dict(
        modalities=('sentinel2', 'sentinel1', 'dem'),
        # meters: stride 32 at 10 m
        cells=(320.0,),
    ),
    # a tile has 7 x 7 cells
    hidden_size=1,
)
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=8)
val_cfg = None
test_cfg = None
