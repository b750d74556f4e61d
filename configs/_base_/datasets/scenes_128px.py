# Loading and augmentation for small machines: scenes at 128 px, without a dataset (other files
# in this folder add it).
image_size = 128
data_preprocessor = dict(
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
resize = dict(
    type='Resize', scale=(image_size, image_size), backend='pillow', interpolation='bicubic'
)
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    resize,
    dict(type='PackInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    resize,
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
                dict(type='RandomFlip', prob=1.0, direction='diagonal'),
            ],
            [dict(type='PackInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='val.txt', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy'),
    # macro average: the mean over the classes
    dict(
        type='mmpretrain.SingleLabelMetric',
        items=('precision', 'recall', 'f1-score'),
        average='macro',
    ),
]
test_evaluator = val_evaluator
