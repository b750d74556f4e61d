# Mask R-CNN with DynamicVis tiny on NWPU VHR-10 at 256 px, from scratch, for small machines.
# For comparison, with all else equal: mask-rcnn_resnet18_1xb4-12e_nwpu-256px.py.
# Paper: no number for this model. Ours: see README.md in this folder.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py
_base_ = [
    '../_base_/models/mask_rcnn_tiny.py',
    '../_base_/datasets/nwpu_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))
default_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP', rule='greater'))
