# UPerNet with DynamicVis base on WHU buildings, images enlarged twice, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e-scratch_whu-building-1024px.py
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/whu_building_1024px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(img_size=1024),
    decode_head=dict(num_classes=2),
    auxiliary_head=dict(num_classes=2),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(682, 682)),
)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='target/iou', rule='greater'),
)
