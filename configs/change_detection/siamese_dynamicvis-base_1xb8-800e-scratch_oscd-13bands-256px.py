# Change detection with DynamicVis base on OSCD in all 13 bands, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-base_1xb8-800e-scratch_oscd-13bands-256px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/oscd_13bands_256px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone_inchannels=13,
    backbone=dict(in_channels=13, img_size=256),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=800, val_interval=10)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='target/f1', rule='greater'),
    # of the first date
    visualization=dict(type='mmdynamicvis.BandsVisualizationHook', bands=[4, 3, 2]),
)
auto_scale_lr = dict(base_batch_size=8)
