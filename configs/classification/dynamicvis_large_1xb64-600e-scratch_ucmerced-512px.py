# DynamicVis large on UC Merced without pretraining.
# Paper: F1 96.16. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_large_1xb64-600e-scratch_ucmerced-512px.py
_base_ = ['dynamicvis_base_1xb64-600e-scratch_ucmerced-512px.py']

model = dict(backbone=dict(arch='large'), head=dict(in_channels=1024))
