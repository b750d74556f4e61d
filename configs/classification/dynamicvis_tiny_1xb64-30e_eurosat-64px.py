# DynamicVis tiny on EuroSAT RGB at 64 px, from scratch, for small machines. Beside it, with the
# same data, input and augmentation: resnet18_1xb64-10e_eurosat-64px.py.
# Paper: no number for this dataset. Ours: see README.md beside this file.
#   mim train mmdynamicvis dynamicvis_tiny_1xb64-30e_eurosat-64px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/eurosat_64px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=64),
    head=dict(in_channels=384, num_classes=10),
    train_cfg=None,
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=30)
