# Change detection with DynamicVis large on WHU-CD, pairs at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-large_1xb8-200e-scratch_whu-cd-256px.py
_base_ = ['siamese_dynamicvis-base_1xb8-200e-scratch_whu-cd-256px.py']

model = dict(backbone=dict(arch='large'), neck=dict(fpn=dict(in_channels=[128, 256, 512, 1024])))
