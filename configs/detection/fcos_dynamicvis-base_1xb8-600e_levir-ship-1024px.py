# FCOS with DynamicVis base on LEVIR-Ship. Backbone and FPN start from the
# pretraining on fMoW.
# Paper: AP50 82.8. Ours: not reproduced.
#   mim train mmdynamicvis fcos_dynamicvis-base_1xb8-600e_levir-ship-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/fcos.py',
    '../_base_/datasets/levir_ship_1024px.py',
    '../_base_/schedules/adamw_cosine_600e.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    bbox_head=dict(num_classes=1),
)
