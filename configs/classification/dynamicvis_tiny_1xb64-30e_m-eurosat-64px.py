# DynamicVis tiny on GEO-Bench's m-eurosat, visible bands at 64 px, from scratch.
# Paper: no number for this dataset. Ours: not trained. For frozen weights on GEO-Bench use it as
# --data of tools/benchmark/probe.py.
#   mim train mmdynamicvis dynamicvis_tiny_1xb64-30e_m-eurosat-64px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/m_eurosat_64px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=64), head=dict(num_classes=10))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=64)
