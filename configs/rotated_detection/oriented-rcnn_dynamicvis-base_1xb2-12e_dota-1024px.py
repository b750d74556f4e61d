# Oriented R-CNN with DynamicVis base on DOTA-v1.0. Backbone, FPN and region extractor start from
# the pretraining on fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base_1xb2-12e_dota-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/oriented_rcnn_base_fmow.py',
    '../_base_/datasets/dota_1024px.py',
    '../_base_/schedules/adamw_cosine_12e_bf16.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=15)))
