# UPerNet with DynamicVis large on WHU buildings, images enlarged twice, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-large_1xb8-200e-scratch_whu-building-1024px.py
_base_ = ['upernet_dynamicvis-base_1xb8-200e-scratch_whu-building-1024px.py']

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=[128, 256, 512, 1024]))
