# Mask R-CNN with DynamicVis base on SSDD. Backbone (first stage frozen), FPN and both
# region extractors start from the pretraining on fMoW.
# Paper: box AP 70.8, mask AP 70.8. Ours: not reproduced.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-base_1xb8-800e_ssdd-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/mask_rcnn_base_fmow.py',
    '../_base_/datasets/ssdd_1024px.py',
    '../_base_/schedules/adamw_cosine_800e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)))
