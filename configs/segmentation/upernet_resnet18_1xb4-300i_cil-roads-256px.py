# UPerNet with mmseg's ResNet-18 on 20 aerial images with roads at 256 px, from scratch: to compare
# with upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py, all else equal.
# Ours: see README.md beside this file.
#   mim train mmdynamicvis upernet_resnet18_1xb4-300i_cil-roads-256px.py
_base_ = ['upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py']

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
