# Mask R-CNN with DynamicVis large on SSDD. Backbone (first stage frozen), FPN and both
# region extractors start from the pretraining on fMoW.
# Paper: box AP 71.5, mask AP 71.0. Ours: not reproduced.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-large_1xb8-800e_ssdd-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/mask_rcnn_large_fmow.py',
    '../_base_/datasets/ssdd_1024px.py',
    '../_base_/schedules/adamw_cosine_800e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)))
