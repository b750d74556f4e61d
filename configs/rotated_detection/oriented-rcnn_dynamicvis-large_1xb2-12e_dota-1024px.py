# Oriented R-CNN with DynamicVis large on DOTA-v1.0. Backbone, FPN and region extractor start from
# the pretraining on fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-large_1xb2-12e_dota-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['oriented-rcnn_dynamicvis-base_1xb2-12e-scratch_dota-1024px.py']

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
    roi_head=dict(
        bbox_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
    ),
)
