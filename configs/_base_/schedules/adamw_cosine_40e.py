# A short schedule for small images and small models trained from scratch at batch 32.
_base_ = ['adamw_cosine.py']

train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=32)
