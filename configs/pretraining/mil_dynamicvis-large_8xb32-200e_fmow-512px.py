# Region pretraining of DynamicVis large on fMoW, with MIL-NCE.
# Paper: P/R/F1 97.91/97.97/97.87. Ours: not reproduced.
#   mim train mmdynamicvis mil_dynamicvis-large_8xb32-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = ['mil_dynamicvis-base_8xb64-200e_fmow-512px.py']

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=[128, 256, 512, 1024]))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
auto_scale_lr = dict(base_batch_size=256)
