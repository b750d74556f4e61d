# Semantic change detection on DynamicVis base: backbone and FPN start from the pretraining on fMoW.
_base_ = ['semantic_siamese.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(
        fpn=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    ),
)
