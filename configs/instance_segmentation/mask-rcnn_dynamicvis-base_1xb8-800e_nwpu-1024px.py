# Mask R-CNN with DynamicVis base on NWPU VHR-10. Backbone (first stage frozen), FPN and both
# region extractors start from the pretraining on fMoW.
# Paper: box AP 68.5, mask AP 67.3. Ours: not reproduced.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-base_1xb8-800e_nwpu-1024px.py
# with the weights in checkpoints/, as README.md beside this file says.
_base_ = ['mask-rcnn_dynamicvis-base_1xb8-800e-scratch_nwpu-1024px.py']

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
