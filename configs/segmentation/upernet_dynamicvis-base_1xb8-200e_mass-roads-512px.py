# UPerNet with DynamicVis base on Massachusetts roads, images at their own size.
# Backbone (first stage frozen) and FPN start from the pretraining on fMoW.
# Paper: IoU 65.66. Ours: not reproduced.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e_mass-roads-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/upernet_base_fmow.py',
    '../_base_/datasets/massachusetts_roads_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)))
