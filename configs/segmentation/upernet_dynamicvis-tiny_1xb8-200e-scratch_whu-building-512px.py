# UPerNet with DynamicVis tiny on WHU buildings, from scratch, for small machines.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px.py
_base_ = [
    '../_base_/models/upernet_tiny.py',
    '../_base_/datasets/whu_building_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=512),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
