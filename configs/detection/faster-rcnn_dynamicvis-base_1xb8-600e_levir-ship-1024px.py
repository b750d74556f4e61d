# Faster R-CNN with DynamicVis base on LEVIR-Ship. Backbone, FPN and region extractor
# start from the pretraining on fMoW.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis faster-rcnn_dynamicvis-base_1xb8-600e_levir-ship-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/levir_ship_1024px.py',
    '../_base_/schedules/adamw_cosine_600e.py',
    '../_base_/default_runtime.py',
]

pretrained = 'checkpoints/dynamicvis_base_fmow.safetensors'
model = dict(
    type='FasterRCNN',
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck.')),
    roi_head=dict(
        bbox_roi_extractor=dict(
            init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='roi_extractor.'),
        ),
        bbox_head=dict(num_classes=1),
        mask_roi_extractor=None,
        mask_head=None,
    ),
)
