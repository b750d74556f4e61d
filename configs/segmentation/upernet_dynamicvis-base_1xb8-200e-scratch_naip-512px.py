# UPerNet with DynamicVis base on GeoTIFFs with four bands (red, green, blue, near infrared), from
# scratch: an example for custom data.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px.py
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/naip_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(bands=['red', 'green', 'blue', 'nir']),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
default_hooks = dict(
    visualization=dict(
        type='mmdynamicvis.BandsVisualizationHook', bands=['red', 'green', 'blue'], sensor='naip'
    ),
)
