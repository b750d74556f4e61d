# DynamicVis large on AID without pretraining.
# Paper: F1 93.79. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_large_1xb64-500e-scratch_aid-512px.py
_base_ = ['dynamicvis_base_1xb64-500e-scratch_aid-512px.py']

model = dict(backbone=dict(arch='large'), head=dict(in_channels=1024))
