# mmpretrain's ResNet-18 on a part of AID at 150 px, from scratch, for comparison with
# dynamicvis_tiny_1xb32-10e_aid150-128px.py, whose data, input, augmentation and epochs it shares.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis resnet18_1xb32-10e_aid150-128px.py
_base_ = [
    '../_base_/models/resnet18_classifier.py',
    '../_base_/datasets/aid150_128px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=30))
