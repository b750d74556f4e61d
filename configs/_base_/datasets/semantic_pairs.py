# Pairs with several label maps, at their own size: normalization, augmentation, loaders, and the
# metric of land cover of both dates where it changed. The file of a dataset adds the datasets.
data_preprocessor = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    num_dates=2,
    # for R, G, B in [0, 255], equal for both dates
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    size_divisor=32,
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
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
                dict(type='Resize', scale_factor=ratio, keep_ratio=True)
                for ratio in (0.75, 1.0, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            # after Resize, because predictions are scaled back to the size of the label files
            [dict(type='mmdynamicvis.LoadPairLabels')],
            [dict(type='mmdynamicvis.PackLabelMaps')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    # round_up=False: with several processes, no pair is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
# protocol='transitions' counts as ChangeMamba does
val_evaluator = dict(type='mmdynamicvis.SemanticChangeMetric', protocol='dates')
test_evaluator = val_evaluator
