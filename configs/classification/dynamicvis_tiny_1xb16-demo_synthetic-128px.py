# DynamicVis tiny on synthetic aerial scenes: 8 classes, 128 px, a few minutes on two CPU cores.
# There are no published results for this data. `make demo` generates it, trains, tests and draws:
#   python tools/demo.py
# or, once the data exists:
#   mim train mmdynamicvis dynamicvis_tiny_1xb16-demo_synthetic-128px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/scenes_128px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

data_root = 'work_dirs/demo/data'
data_preprocessor = dict(num_classes=8)
dataset = dict(
    type='mmdynamicvis.SceneDataset',
    data_root=data_root,
    # As in synthetic.CATEGORIES.
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
# Only flips, no crops: the scenes already vary in scale and position, and there are ten epochs.
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline, **dataset)
)
val_dataloader = dict(num_workers=1, dataset=dataset)
test_dataloader = dict(num_workers=1, dataset=dataset)

model = dict(head=dict(num_classes=8))
train_cfg = dict(val_interval=5)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=5))
