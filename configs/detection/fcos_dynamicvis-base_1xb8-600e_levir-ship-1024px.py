# FCOS with DynamicVis base on LEVIR-Ship. Backbone and FPN start from the
# pretraining on fMoW.
# Paper: AP50 82.8. Ours: not reproduced.
#   mim train mmdynamicvis fcos_dynamicvis-base_1xb8-600e_levir-ship-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['fcos_dynamicvis-base_1xb8-600e-scratch_levir-ship-1024px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
)
