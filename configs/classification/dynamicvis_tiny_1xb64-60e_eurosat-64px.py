# DynamicVis tiny on EuroSAT RGB at 64 px, from scratch, for small machines. For comparison, with
# the same data, input and augmentation: resnet18_1xb64-10e_eurosat-64px.py.
# Paper: no number for this dataset. Ours: see README.md in this folder.
#   mim train mmdynamicvis dynamicvis_tiny_1xb64-60e_eurosat-64px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/eurosat_64px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=64), head=dict(num_classes=10))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=60)
auto_scale_lr = dict(base_batch_size=64)
