# DynamicVis base on AID without pretraining.
# Paper: F1 93.81. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-500e-scratch_aid-512px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/aid_512px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=30))
train_cfg = dict(max_epochs=500, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
auto_scale_lr = dict(base_batch_size=64)
