# Oriented R-CNN with mmdet's ResNet-18, from scratch, for comparison with
# oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py, with all else equal.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis oriented-rcnn_resnet18_1xb4-12e_nwpu-rotated-256px.py
_base_ = [
    '../_base_/models/oriented_rcnn_tiny.py',
    '../_base_/datasets/nwpu_rotated_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(_delete_=True, type='mmdet.ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head=dict(num_classes=10)),
)
default_hooks = dict(checkpoint=dict(save_best='dota/mAP', rule='greater'))
