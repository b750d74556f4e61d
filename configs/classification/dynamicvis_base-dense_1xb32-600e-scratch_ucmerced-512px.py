# DynamicVis base on UC Merced without token selection, without pretraining.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis dynamicvis_base-dense_1xb32-600e-scratch_ucmerced-512px.py
_base_ = ['dynamicvis_base_1xb64-600e-scratch_ucmerced-512px.py']

model = dict(backbone=dict(reduction_ratios=None))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
