# Change detection with mmseg's ResNet-18 on 14 pairs of LEVIR-CD and SZTAKI AirChange in crops of
# 128 px, from scratch, to compare with siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py, all
# else equal.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis siamese_resnet18_1xb4-300i_levir-sztaki-128px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_sztaki_128px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(_delete_=True, type='mmseg.ResNet', depth=18),
    neck=dict(fpn=dict(in_channels=[64, 128, 256, 512])),
    test_cfg=dict(mode='slide', crop_size=(128, 128), stride=(96, 96)),
)
default_hooks = dict(checkpoint=dict(save_best='target/f1', rule='greater'))
