# Scene classification: the published settings at batch 64. The paper has 500 epochs.
_base_ = ['adamw_cosine.py']

train_cfg = dict(max_epochs=500, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='single-label/f1-score', rule='greater'),
    # `tools/test.py --show-dir DIR` switches it on.
    visualization=dict(type='VisualizationHook', enable=False),
)
