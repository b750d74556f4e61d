# DynamicVis large on UC Merced without pretraining.
# Paper: F1 96.16. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_large_1xb64-600e-scratch_ucmerced-512px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_large.py',
    '../_base_/datasets/ucmerced_512px.py',
    '../_base_/schedules/adamw_cosine_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=21))
train_cfg = dict(max_epochs=600)
