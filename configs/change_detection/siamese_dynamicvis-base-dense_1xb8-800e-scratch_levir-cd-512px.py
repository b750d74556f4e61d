# Change detection with DynamicVis base without token selection on LEVIR-CD,
# pairs at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base-dense_1xb8-800e-scratch_levir-cd-512px.py
_base_ = ['siamese_dynamicvis-base_1xb8-800e-scratch_levir-cd-512px.py']

model = dict(backbone=dict(reduction_ratios=None))
