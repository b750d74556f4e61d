# Region pretraining of DynamicVis base on fMoW, with MIL-NCE.
# Paper: P/R/F1 97.49/97.03/97.19. Ours: not reproduced.
#   mim train mmdynamicvis mil_dynamicvis-base_8xb64-200e_fmow-512px.py \
#       --launcher pytorch --gpus 8
_base_ = [
    '../_base_/models/mil_pretrainer.py',
    '../_base_/datasets/fmow_512px.py',
    '../_base_/schedules/adamw_cosine_pretraining.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(classes={{_base_.classes}}))
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(lr=4e-4, betas=(0.9, 0.95)),
)
train_cfg = dict(max_epochs=200, val_interval=10)
auto_scale_lr = dict(base_batch_size=512)
