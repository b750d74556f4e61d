# Oriented R-CNN with DynamicVis tiny on NWPU VHR-10, boxes derived from masks, from scratch, for
# small machines. For comparison, with all else equal:
# oriented-rcnn_resnet18_1xb4-12e_nwpu-rotated-256px.py.
# Paper: no rotated detection. Ours: see README.md in this folder.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py
_base_ = [
    '../_base_/models/oriented_rcnn_tiny.py',
    '../_base_/datasets/nwpu_rotated_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=10)))
default_hooks = dict(checkpoint=dict(save_best='dota/mAP', rule='greater'))
