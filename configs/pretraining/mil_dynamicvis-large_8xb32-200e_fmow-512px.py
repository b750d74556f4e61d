# Region pretraining of DynamicVis large on fMoW, with MIL-NCE.
# Paper: P/R/F1 97.91/97.97/97.87. Ours: not reproduced.
#   mim train mmdynamicvis mil_dynamicvis-large_8xb32-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = [
    '../_base_/models/mil_pretrainer.py',
    '../_base_/datasets/fmow_512px.py',
    '../_base_/schedules/adamw_cosine_pretraining.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(arch='large'),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    head=dict(classes={{_base_.classes}}),
)
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(lr=2e-4, betas=(0.9, 0.95)),
)
train_cfg = dict(max_epochs=200, val_interval=10)
auto_scale_lr = dict(base_batch_size=256)
