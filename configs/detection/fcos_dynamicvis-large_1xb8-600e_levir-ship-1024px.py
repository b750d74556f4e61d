# FCOS with DynamicVis large on LEVIR-Ship. Backbone and FPN start from the
# pretraining on fMoW.
# Paper: AP50 84.1. Ours: not reproduced.
#   mim train mmdynamicvis fcos_dynamicvis-large_1xb8-600e_levir-ship-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/fcos.py',
    '../_base_/datasets/levir_ship_1024px.py',
    '../_base_/schedules/adamw_cosine_600e.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_large_fmow.safetensors'
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(
        in_channels=[128, 256, 512, 1024],
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.'),
    ),
    bbox_head=dict(num_classes=1),
)
