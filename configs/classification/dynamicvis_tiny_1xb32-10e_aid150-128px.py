# DynamicVis tiny on a part of AID at 150 px at 128 px, from scratch, for small machines.
# For comparison, with the same data, input, augmentation and epochs:
# resnet18_1xb32-10e_aid150-128px.py.
# Paper: no number for this model. Ours: see README.md in this folder.
#   mim train mmdynamicvis dynamicvis_tiny_1xb32-10e_aid150-128px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/aid150_128px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=30))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
