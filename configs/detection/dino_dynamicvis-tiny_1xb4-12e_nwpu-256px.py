# DINO with DynamicVis tiny on the boxes of NWPU VHR-10 at 256 px, from scratch, for small
# machines. Needs onedl-mmdetection: the DINO of mmdet itself works only with 256 channels.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis dino_dynamicvis-tiny_1xb4-12e_nwpu-256px.py
_base_ = [
    '../_base_/models/dino_tiny.py',
    '../_base_/datasets/nwpu_boxes_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(num_classes=10))
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP', rule='greater'))
