# The paper's region pretraining: cosine decay to 1 %, 200 epochs, bf16. The warm-up of one epoch is
# ours.
_base_ = ['adamw_cosine_pretraining.py']

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(lr=4e-4, betas=(0.9, 0.95)),
)
train_cfg = dict(max_epochs=200, val_interval=10)
auto_scale_lr = dict(base_batch_size=512)
