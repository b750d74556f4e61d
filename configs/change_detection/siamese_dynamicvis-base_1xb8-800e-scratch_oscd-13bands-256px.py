# Change detection with DynamicVis base on OSCD in all 13 bands, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e-scratch_oscd-13bands-256px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/oscd_13bands_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone_inchannels=13,
    backbone=dict(in_channels=13, img_size=256),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)),
)
default_hooks = dict(
    # of the first date
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[4, 3, 2]),
)
