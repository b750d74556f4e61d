# Mask R-CNN with mmdet's ResNet-18 on NWPU VHR-10 at 256 px, from scratch, for comparison with
# mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py, with all else equal.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis mask-rcnn_resnet18_1xb4-12e_nwpu-256px.py
_base_ = [
    '../_base_/models/mask_rcnn_tiny.py',
    '../_base_/datasets/nwpu_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)),
)
default_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP', rule='greater'))
