# DynamicVis base on AID without token selection, without pretraining.
# Paper: no number for this model; keeping all tokens (ratios 0) reaches F1 94.17.
# Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base-dense_1xb32-500e-scratch_aid-512px.py
_base_ = ['dynamicvis_base_1xb64-500e-scratch_aid-512px.py']

model = dict(backbone=dict(reduction_ratios=None))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
