# Rotated FCOS with DynamicVis base on DOTA-v1.0. Backbone and FPN start from the pretraining on
# fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis rotated-fcos_dynamicvis-base_1xb2-12e_dota-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['rotated-fcos_dynamicvis-base_1xb2-12e-scratch_dota-1024px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
)
