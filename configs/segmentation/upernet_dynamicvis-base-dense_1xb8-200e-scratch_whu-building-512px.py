# UPerNet with DynamicVis base without token selection on WHU buildings, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base-dense_1xb8-200e-scratch_whu-building-512px.py
_base_ = ['upernet_dynamicvis-base_1xb8-200e-scratch_whu-building-512px.py']

model = dict(backbone=dict(reduction_ratios=None))
