# The published schedule of instance segmentation, in bf16.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=800, val_interval=10)
auto_scale_lr = dict(base_batch_size=8)
