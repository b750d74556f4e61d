# Region pretraining of DynamicVis tiny on fMoW, one epoch, for small machines; no GPU is needed.
# Paper: no number for this model. Ours: not run on the real data.
#   mim train mmdynamicvis mil_dynamicvis-tiny_1xb16-1e_fmow-192px.py
_base_ = [
    '../_base_/models/mil_pretrainer_tiny.py',
    '../_base_/datasets/fmow_192px.py',
    '../_base_/schedules/adamw_cosine_pretraining.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(classes={{_base_.classes}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, eta_min_ratio=0.01, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1)
# an epoch takes days on a small machine
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1000, save_best=None, save_last=True))
auto_scale_lr = dict(base_batch_size=16)
