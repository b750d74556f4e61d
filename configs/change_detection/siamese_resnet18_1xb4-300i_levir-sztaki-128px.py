# Change detection with mmseg's ResNet-18 on 14 pairs of LEVIR-CD and SZTAKI AirChange in crops of
# 128 px, from scratch: to compare with siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py, all
# else equal.
# Ours: see README.md beside this file.
#   mim train mmdynamicvis siamese_resnet18_1xb4-300i_levir-sztaki-128px.py
_base_ = ['siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py']

model = dict(
    backbone=dict(_delete_=True, type='mmseg.ResNet', depth=18),
    neck=dict(fpn=dict(in_channels=[64, 128, 256, 512])),
)
