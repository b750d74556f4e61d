# DynamicVis base on UC Merced without pretraining.
# Paper: F1 95.88. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-600e-scratch_ucmerced-512px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/ucmerced_512px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=21))
train_cfg = dict(max_epochs=600, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
auto_scale_lr = dict(base_batch_size=64)
