# FCOS with DynamicVis base without token selection on LEVIR-Ship, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis fcos_dynamicvis-base-dense_1xb8-600e-scratch_levir-ship-1024px.py
_base_ = ['fcos_dynamicvis-base_1xb8-600e-scratch_levir-ship-1024px.py']

model = dict(backbone=dict(reduction_ratios=None))
