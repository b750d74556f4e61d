# Change detection with DynamicVis base without token selection on WHU-CD,
# pairs at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base-dense_1xb8-200e-scratch_whu-cd-256px.py
_base_ = ['siamese_dynamicvis-base_1xb8-200e-scratch_whu-cd-256px.py']

model = dict(backbone=dict(reduction_ratios=None))
