# FCOS with DynamicVis tiny on LEVIR-Ship at the size of its tiles, from scratch, for small
# machines.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis fcos_dynamicvis-tiny_1xb4-12e_levir-ship-512px.py
_base_ = [
    '../_base_/models/fcos_tiny.py',
    '../_base_/datasets/levir_ship_512px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/detection_runtime.py',
]

model = dict(backbone=dict(img_size=512), bbox_head=dict(num_classes=1))
default_hooks = dict(checkpoint=dict(save_best='coco/AP50', rule='greater'))
