# DynamicVis tiny on synthetic aerial scenes: 8 classes, 128 px, a few minutes on two CPU cores.
# Ours only; no paper has these data. `make demo` makes them, trains, tests and draws:
#   python tools/demo.py
# or, once it has made the data:
#   mim train mmdynamicvis dynamicvis_tiny_1xb16-demo_synthetic-128px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/scenes_128px.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/classification_runtime.py',
]

data_root = 'work_dirs/demo/data'
data_preprocessor = dict(num_classes=8)
dataset = dict(
    type='mmdynamicvis.SceneDataset',
    data_root=data_root,
    # As in mmdynamicvis.synthetic.CATEGORIES.
    classes=[
        'crossroads',
        'farmland',
        'forest',
        'harbor',
        'parking',
        'residential',
        'river',
        'storage_tanks',
    ],
)
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dataset)
val_dataloader = dict(num_workers=1, dataset=dataset)
test_dataloader = dict(num_workers=1, dataset=dataset)

model = dict(
    backbone=dict(arch='tiny', img_size=128),
    head=dict(in_channels=384, num_classes=8),
    train_cfg=None,
)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=9, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=3))
