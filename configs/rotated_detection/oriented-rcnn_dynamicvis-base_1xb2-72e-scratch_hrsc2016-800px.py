# Oriented R-CNN with DynamicVis base on HRSC2016, from scratch.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base_1xb2-72e-scratch_hrsc2016-800px.py
_base_ = [
    '../_base_/models/oriented_rcnn.py',
    '../_base_/datasets/hrsc2016_800px.py',
    '../_base_/schedules/adamw_cosine_12e_bf16.py',
    '../_base_/rotated_runtime.py',
]

model = dict(backbone=dict(img_size=800), roi_head=dict(bbox_head=dict(num_classes=1)))
train_cfg = dict(max_epochs=72)
