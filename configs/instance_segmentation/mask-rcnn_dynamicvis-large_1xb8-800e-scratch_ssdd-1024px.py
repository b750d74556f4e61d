# Mask R-CNN with DynamicVis large on SSDD, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis mask-rcnn_dynamicvis-large_1xb8-800e-scratch_ssdd-1024px.py
_base_ = ['mask-rcnn_dynamicvis-base_1xb8-800e-scratch_ssdd-1024px.py']

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=[128, 256, 512, 1024]))
