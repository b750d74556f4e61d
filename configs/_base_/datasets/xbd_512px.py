# xBD (xView2): crops of 512 px from pairs of 1024 px; 2799 pairs of train and 6369 of tier3 to
# train, 933 of hold to validate, 933 of test to test. data/xbd holds
# {train,tier3,hold,test}/{images,targets}/. tier3 is published without targets:
#   python tools/prepare_data/xbd.py data/xbd/tier3/labels data/xbd/tier3/targets
data_root = 'data/xbd/'
size = (512, 512)
data_preprocessor = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    num_dates=2,
    # for R, G, B in [0, 255], equal for both dates
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    size=size,
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='RandomCrop', crop_size=size),
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
    dict(type='mmdynamicvis.PackLabelMaps'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='mmdynamicvis.PackLabelMaps'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            # after the flips: predictions are flipped back
            [dict(type='mmdynamicvis.LoadPairLabels')],
            [dict(type='mmdynamicvis.PackLabelMaps')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    # without a batch of one crop
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(type='mmdynamicvis.XBD', data_root=data_root + split, pipeline=train_pipeline)
            for split in ('train', 'tier3')
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    # round_up=False: with several processes, no pair is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.XBD',
        data_root=data_root + 'hold',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.XBD',
        data_root=data_root + 'test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='mmdynamicvis.BuildingDamageMetric')
test_evaluator = val_evaluator
