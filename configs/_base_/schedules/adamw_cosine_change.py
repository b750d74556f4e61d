# Change detection: the paper's learning rate, and the epochs of a published LEVIR-CD configuration.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=800, val_interval=10)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='target/f1', rule='greater'),
    # classes over the image: at test into the run's folder, or where `tools/test.py --show-dir DIR`
    # says; one every 50 steps of a validation
    visualization=dict(type='SegVisualizationHook', draw=True),
)
