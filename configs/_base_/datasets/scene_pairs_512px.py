# Crops of 512 px from pairs of 1024 px: normalization, augmentation, loaders.
# The file of a dataset adds the datasets.
data_preprocessor = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    num_dates=2,
    # for R, G, B in [0, 255], equal for both dates
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    size=(512, 512),
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
scale = (1024, 1024)
size = (512, 512)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='RandomRotate', prob=0.5, degree=180),
    dict(type='RandomResize', scale=scale, ratio_range=(0.2, 1.8), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    # applied to each date separately
    dict(
        type='mmdynamicvis.EachDate',
        transforms=[
            dict(
                type='PhotoMetricDistortion',
                brightness_delta=10,
                contrast_range=(0.8, 1.2),
                saturation_range=(0.8, 1.2),
                hue_delta=10,
            ),
        ],
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    # after Resize, because predictions are scaled back to the size of the mask files
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=ratio, keep_ratio=True)
                for ratio in (0.75, 1.0, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='mmdynamicvis.LoadAnnotationsToBinary')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mmdynamicvis.ChangeDataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    # round_up=False: with several processes, no pair is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='mmdynamicvis.ChangeDataset', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
