# DynamicVis tiny on AID at 128 px, from scratch, for small machines.
# Paper: no number for this model. Ours: see README.md beside this file.
#   mim train mmdynamicvis dynamicvis_tiny_1xb32-40e_aid-128px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/aid_128px.py',
    '../_base_/schedules/adamw_cosine_40e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=128),
    head=dict(in_channels=384, num_classes=30),
    # Mixed labels help long schedules and large models; this is neither.
    train_cfg=None,
)
