# Takes minutes to an hour on a CPU, for small detectors trained from scratch at batch size 4.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=12, val_interval=3)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    # In a test, one picture per image in the work folder, or in DIR of `tools/test.py --show-dir
    # DIR`; in validation, one every 50 steps.
    visualization=dict(type='mmdet.DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
