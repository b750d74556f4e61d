# Scene classification: the published settings at batch size 64, with the paper's 500 epochs.
_base_ = ['adamw_cosine.py']

train_cfg = dict(max_epochs=500, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='single-label/f1-score', rule='greater'),
    # enabled by `tools/test.py --show-dir DIR`
    visualization=dict(type='VisualizationHook', enable=False),
)
