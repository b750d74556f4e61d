# Oriented R-CNN with DynamicVis base on HRSC2016. Backbone, FPN and region extractor start from the
# pretraining on fMoW.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base_1xb2-72e_hrsc2016-800px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/oriented_rcnn_base_fmow.py',
    '../_base_/datasets/hrsc2016_800px.py',
    '../_base_/schedules/adamw_cosine_12e_bf16.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=800), roi_head=dict(bbox_head=dict(num_classes=1)))
train_cfg = dict(max_epochs=72)
