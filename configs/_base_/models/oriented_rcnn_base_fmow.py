# Oriented R-CNN on DynamicVis base: backbone, FPN and region extractor start from the pretraining
# on fMoW.
_base_ = ['oriented_rcnn.py']

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    roi_head=dict(
        bbox_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
    ),
)
