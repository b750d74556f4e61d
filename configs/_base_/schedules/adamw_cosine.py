# AdamW with linear warm-up and cosine decay over the epochs that a config sets in
# train_cfg.max_epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.05),
    # Only matrices are decayed, not one-dimensional parameters (norms, biases, the scan's D). The
    # position embedding and the scan's log-decay rates, for which zero is not neutral, are marked
    # in the backbone, and the constructor excludes them.
    constructor='mmdynamicvis.BackboneOptimWrapperConstructor',
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
warmup_epochs = 5
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=warmup_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True)
val_cfg = dict()
test_cfg = dict()
# Hooks are set here, as in mmseg's schedules, because checkpoint intervals depend on the length.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
