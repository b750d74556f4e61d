# Change detection with DynamicVis large on OSCD, pairs enlarged twice.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: F1 60.25. Ours: not reproduced.
#   mim train mmdynamicvis siamese_dynamicvis-large_1xb8-800e_oscd-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/siamese_large_fmow.py',
    '../_base_/datasets/oscd_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)))
