# Change detection with DynamicVis base on LEVIR-CD, pairs enlarged twice, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e-scratch_levir-cd-1024px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/levir_cd_1024px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(img_size=1024),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(512, 512)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=800, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10, save_best='target/f1', rule='greater'))
auto_scale_lr = dict(base_batch_size=8)
