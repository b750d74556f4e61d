# UPerNet with DynamicVis base on Massachusetts roads, images at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e-scratch_mass-roads-512px.py
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/massachusetts_roads_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    decode_head=dict(num_classes=2),
    auxiliary_head=dict(num_classes=2),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='target/iou', rule='greater'),
)
