# Change detection with DynamicVis base on OSCD, pairs enlarged twice, from scratch, by open-cd: the
# same model as siamese_dynamicvis-base_1xb8-800e_oscd-512px.py, whose weights it takes.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis opencd-siamese_dynamicvis-base_1xb8-800e-scratch_oscd-512px.py
_base_ = [
    '../_base_/models/siamese.py',
    '../_base_/datasets/opencd_oscd_512px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/default_runtime.py',
]

custom_imports = dict(imports=['mmdynamicvis.change_detection.opencd'], allow_failed_imports=False)
default_scope = 'opencd'
model = dict(
    type='SiamEncoderDecoder',
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(256, 256)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=800, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10, save_best='target/f1', rule='greater'))
auto_scale_lr = dict(base_batch_size=8)
