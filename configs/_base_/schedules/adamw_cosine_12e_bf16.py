# 12 epochs at batch size 2 in bf16, the usual length for large aerial images.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(lr=1e-4),
    clip_grad=dict(max_norm=35),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=12, val_interval=12)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(
    checkpoint=dict(save_best='dota/mAP', rule='greater'),
    # In a test, one picture per image in the work folder, or in DIR of `tools/test.py --show-dir
    # DIR`; in validation, one every 50 steps.
    visualization=dict(type='mmdet.DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
