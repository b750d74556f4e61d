# Change detection with DynamicVis tiny on WHU-CD, pairs at their own size, from scratch, for small
# machines.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-tiny_1xb8-200e-scratch_whu-cd-256px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/whu_cd_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)))
train_cfg = dict(max_epochs=200)
