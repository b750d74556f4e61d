# Building damage with DynamicVis base on xBD, in crops of 512 px.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis siamese-damage_dynamicvis-base_1xb8-50e_xbd-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_damage.py',
    '../_base_/datasets/xbd_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(
        fpn=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)),
)
train_cfg = dict(max_epochs=50)
default_hooks = dict(checkpoint=dict(save_best='damage/score'))
