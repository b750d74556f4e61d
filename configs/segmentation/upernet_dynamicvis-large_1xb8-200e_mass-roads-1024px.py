# UPerNet with DynamicVis large on Massachusetts roads, images enlarged twice.
# Backbone (first stage frozen) and FPN start from the pretraining on fMoW.
# Paper: IoU 67.06. Ours: not reproduced.
#   mim train mmdynamicvis upernet_dynamicvis-large_1xb8-200e_mass-roads-1024px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/upernet_large_fmow.py',
    '../_base_/datasets/massachusetts_roads_1024px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=1024),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(682, 682)),
)
