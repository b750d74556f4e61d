# DynamicVis base on UC Merced without pretraining.
# Paper: F1 95.88. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-600e-scratch_ucmerced-512px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/ucmerced_512px.py',
    '../_base_/schedules/adamw_cosine_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=21))
train_cfg = dict(max_epochs=600)
