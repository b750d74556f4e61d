# DINO with DynamicVis base on LEVIR-Ship. The backbone starts from the pretraining on
# fMoW.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis dino_dynamicvis-base_1xb8-50e_levir-ship-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/dino.py',
    '../_base_/datasets/levir_ship_1024px.py',
    '../_base_/schedules/adamw_cosine_50e.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    bbox_head=dict(num_classes=1),
)
