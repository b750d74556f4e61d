# Change detection: the paper's learning rate, and the epochs of a published LEVIR-CD configuration.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=800, val_interval=10)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='target/f1', rule='greater'),
    # Classes drawn over the image: in a test, one picture per image in the run's folder, or in DIR
    # of `tools/test.py --show-dir DIR`; in validation, one every 50 steps.
    visualization=dict(type='SegVisualizationHook', draw=True),
)
