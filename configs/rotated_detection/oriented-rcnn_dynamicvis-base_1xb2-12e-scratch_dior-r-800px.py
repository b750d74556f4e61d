# Oriented R-CNN with DynamicVis base on DIOR-R, from scratch.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base_1xb2-12e-scratch_dior-r-800px.py
_base_ = [
    '../_base_/models/oriented_rcnn.py',
    '../_base_/datasets/dior_r_800px.py',
    '../_base_/schedules/adamw_cosine_12e_bf16.py',
    '../_base_/rotated_runtime.py',
]

model = dict(backbone=dict(img_size=800), roi_head=dict(bbox_head=dict(num_classes=20)))
