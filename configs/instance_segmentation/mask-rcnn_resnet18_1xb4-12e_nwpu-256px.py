# Mask R-CNN with mmdet's ResNet-18 on NWPU VHR-10 at 256 px, from scratch: to compare with
# mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py, all else equal.
# Ours: see README.md beside this file.
#   mim train mmdynamicvis mask-rcnn_resnet18_1xb4-12e_nwpu-256px.py
_base_ = ['mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py']

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
