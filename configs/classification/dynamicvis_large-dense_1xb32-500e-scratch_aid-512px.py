# DynamicVis large on AID without token selection, without pretraining.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis dynamicvis_large-dense_1xb32-500e-scratch_aid-512px.py
_base_ = ['dynamicvis_large_1xb64-500e-scratch_aid-512px.py']

model = dict(backbone=dict(reduction_ratios=None))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
