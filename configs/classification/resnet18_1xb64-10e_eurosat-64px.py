# mmpretrain's ResNet-18 on EuroSAT RGB at 64 px, from scratch, for comparison with
# dynamicvis_tiny_1xb64-60e_eurosat-64px.py, whose data, input and augmentation it shares, and
# which takes its CPU time with train_cfg.max_epochs=30. Ours: see README.md in this folder.
#   mim train mmdynamicvis resnet18_1xb64-10e_eurosat-64px.py
_base_ = [
    '../_base_/models/resnet18_classifier.py',
    '../_base_/datasets/eurosat_64px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
auto_scale_lr = dict(base_batch_size=64)
