# Change detection with DynamicVis base on DSIFN, pairs at their own size, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-200e-scratch_dsifn-512px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/dsifn_512px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=200, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10, save_best='target/f1', rule='greater'))
auto_scale_lr = dict(base_batch_size=8)
