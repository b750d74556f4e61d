# Takes minutes on a CPU; counted in iterations. A resumed training equals an uninterrupted one.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=300),
]
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=300, val_interval=100)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    exact_resume=dict(type='mmdynamicvis.ExactResumeHook'),
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100),
    # Classes drawn over the image: in a test, one picture per image in the run's folder, or in DIR
    # of `tools/test.py --show-dir DIR`; in validation, one every 50 steps.
    visualization=dict(type='SegVisualizationHook', draw=True),
)
