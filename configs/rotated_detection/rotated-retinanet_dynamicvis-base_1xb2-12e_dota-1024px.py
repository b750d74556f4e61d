# Rotated RetinaNet with DynamicVis base on DOTA-v1.0. Backbone and FPN start from the pretraining
# on fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis rotated-retinanet_dynamicvis-base_1xb2-12e_dota-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/rotated_retinanet.py',
    '../_base_/datasets/dota_1024px.py',
    '../_base_/schedules/adamw_cosine_12e_bf16.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    bbox_head=dict(num_classes=15),
)
