# LEVIR-Ship's published schedule.
_base_ = ['adamw_cosine.py']

optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(max_epochs=600, val_interval=10)
auto_scale_lr = dict(base_batch_size=8)
