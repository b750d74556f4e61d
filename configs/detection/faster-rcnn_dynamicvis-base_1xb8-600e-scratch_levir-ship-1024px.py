# Faster R-CNN with DynamicVis base on LEVIR-Ship, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis faster-rcnn_dynamicvis-base_1xb8-600e-scratch_levir-ship-1024px.py
_base_ = [
    '../_base_/models/faster_rcnn.py',
    '../_base_/datasets/levir_ship_1024px.py',
    '../_base_/schedules/adamw_cosine_600e.py',
    '../_base_/detection_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=1)))
default_hooks = dict(checkpoint=dict(interval=10, save_best='coco/AP50', rule='greater'))
