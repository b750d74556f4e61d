# The published schedule of instance segmentation, in bf16.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=800, val_interval=10)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(interval=10, save_best=['coco/bbox_mAP', 'coco/segm_mAP'], rule='greater'),
    # In a test, one picture per image in the work folder, or in DIR of `tools/test.py --show-dir
    # DIR`; in validation, one every 50 steps.
    visualization=dict(type='mmdet.DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
