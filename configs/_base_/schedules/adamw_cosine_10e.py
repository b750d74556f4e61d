# Takes minutes on two CPU cores, for small models trained from scratch at batch size 32.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(
    checkpoint=dict(save_best='single-label/f1-score', rule='greater'),
    # enabled by `tools/test.py --show-dir DIR`
    visualization=dict(type='VisualizationHook', enable=False),
)
