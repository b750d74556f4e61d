# Oriented R-CNN with DynamicVis base on DIOR-R. Backbone, FPN and region extractor start from the
# pretraining on fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base_1xb2-12e_dior-r-800px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['oriented-rcnn_dynamicvis-base_1xb2-12e-scratch_dior-r-800px.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    roi_head=dict(
        bbox_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
    ),
)
