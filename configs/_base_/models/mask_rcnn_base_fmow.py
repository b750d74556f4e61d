# Mask R-CNN on DynamicVis base: backbone (first stage frozen), FPN and both region extractors
# start from the pretraining on fMoW.
_base_ = ['mask_rcnn.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    roi_head=dict(
        bbox_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
        mask_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
    ),
)
