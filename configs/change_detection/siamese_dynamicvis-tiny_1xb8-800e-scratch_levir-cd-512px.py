# Change detection with DynamicVis tiny on LEVIR-CD, pairs at their own size, from scratch, for
# small machines.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-tiny_1xb8-800e-scratch_levir-cd-512px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_cd_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=512),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)),
)
