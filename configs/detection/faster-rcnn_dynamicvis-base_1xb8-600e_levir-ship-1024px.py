# Faster R-CNN with DynamicVis base on LEVIR-Ship. Backbone, FPN and region extractor
# start from the pretraining on fMoW.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis faster-rcnn_dynamicvis-base_1xb8-600e_levir-ship-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['faster-rcnn_dynamicvis-base_1xb8-600e-scratch_levir-ship-1024px.py']

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
