# Change detection with DynamicVis base on DSIFN, pairs at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-200e-scratch_dsifn-512px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/dsifn_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=200)
