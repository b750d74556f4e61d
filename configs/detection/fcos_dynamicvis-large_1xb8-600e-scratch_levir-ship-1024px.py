# FCOS with DynamicVis large on LEVIR-Ship, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis fcos_dynamicvis-large_1xb8-600e-scratch_levir-ship-1024px.py
_base_ = ['fcos_dynamicvis-base_1xb8-600e-scratch_levir-ship-1024px.py']

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=[128, 256, 512, 1024]))
