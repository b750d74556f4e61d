# Oriented R-CNN with mmdet's ResNet-18, from scratch: to compare with
# oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py, all else equal.
# Ours: see README.md beside this file.
#   mim train mmdynamicvis oriented-rcnn_resnet18_1xb4-12e_nwpu-rotated-256px.py
_base_ = ['oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py']

model = dict(
    backbone=dict(_delete_=True, type='mmdet.ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
