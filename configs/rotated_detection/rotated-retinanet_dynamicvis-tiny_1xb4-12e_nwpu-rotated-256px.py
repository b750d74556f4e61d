# Rotated RetinaNet with DynamicVis tiny on NWPU VHR-10, boxes derived from masks, from scratch, for
# small machines.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis rotated-retinanet_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py
_base_ = [
    '../_base_/models/rotated_retinanet_tiny.py',
    '../_base_/datasets/nwpu_rotated_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes=10))
default_hooks = dict(checkpoint=dict(save_best='dota/mAP', rule='greater'))
