# Mask R-CNN with DynamicVis base on NWPU VHR-10, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-base_1xb8-800e-scratch_nwpu-1024px.py
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/nwpu_1024px.py',
    '../_base_/schedules/adamw_cosine_800e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))
