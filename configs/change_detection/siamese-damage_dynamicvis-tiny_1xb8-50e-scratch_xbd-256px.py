# Building damage with DynamicVis tiny on xBD, in crops of 256 px, from scratch, for small machines.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis siamese-damage_dynamicvis-tiny_1xb8-50e-scratch_xbd-256px.py
_base_ = [
    '../_base_/models/siamese_damage_tiny.py',
    '../_base_/datasets/xbd_256px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)))
train_cfg = dict(max_epochs=50)
default_hooks = dict(checkpoint=dict(save_best='damage/score'))
