# UPerNet with DynamicVis base on GeoTIFFs with the 13 bands of Sentinel-2, from scratch:
# an example for custom data.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e-scratch_sentinel2-256px.py
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/sentinel2_256px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(in_channels=13, img_size=256),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(170, 170)),
)
default_hooks = dict(
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[4, 3, 2]),
)
