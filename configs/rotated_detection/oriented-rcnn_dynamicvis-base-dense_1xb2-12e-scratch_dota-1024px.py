# Oriented R-CNN with DynamicVis base on DOTA-v1.0 without token selection, from scratch.
# Paper: no rotated detection. Ours: not measured.
#   mim train mmdynamicvis oriented-rcnn_dynamicvis-base-dense_1xb2-12e-scratch_dota-1024px.py
_base_ = ['oriented-rcnn_dynamicvis-base_1xb2-12e-scratch_dota-1024px.py']

model = dict(backbone=dict(reduction_ratios=None))
