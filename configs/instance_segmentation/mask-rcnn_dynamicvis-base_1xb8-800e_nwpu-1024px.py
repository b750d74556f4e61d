# Mask R-CNN with DynamicVis base on NWPU VHR-10. Backbone (first stage frozen), FPN and both
# region extractors start from the pretraining on fMoW.
# Paper: box AP 68.5, mask AP 67.3. Ours: not reproduced.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-base_1xb8-800e_nwpu-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/mask_rcnn_base_fmow.py',
    '../_base_/datasets/nwpu_1024px.py',
    '../_base_/schedules/adamw_cosine_800e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))
