# For DETRs at batch size 8, with their learning rate and gradient clipping.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
train_cfg = dict(max_epochs=50, val_interval=5)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best='coco/AP50', rule='greater'),
    # In a test, one picture per image in the work folder, or in DIR of `tools/test.py --show-dir
    # DIR`; in validation, one every 50 steps.
    visualization=dict(type='mmdet.DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
