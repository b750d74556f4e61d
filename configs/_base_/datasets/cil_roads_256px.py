# Road extraction on 20 aerial images of 400 px at 256 px, for small machines: 16 to train, every
# fifth to validate. Masks are gray. data/cil_roads holds images/ and groundtruth/, with the same
# names (satImage_NNN.png).
data_root = 'data/cil_roads/'
data_preprocessor = dict(
    type='SegDataPreProcessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    size=(256, 256),
    pad_val=0,
    seg_pad_val=255,
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary', threshold=127),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary', threshold=127),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=0.75, keep_ratio=True),
                dict(type='Resize', scale_factor=1.0, keep_ratio=True),
                dict(type='Resize', scale_factor=1.25, keep_ratio=True),
            ],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='mmdynamicvis.LoadAnnotationsToBinary', threshold=127)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
dataset = dict(
    type='mmdynamicvis.MassachusettsRoadsSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='groundtruth'),
    img_suffix='.png',
    seg_map_suffix='.png',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='mmdynamicvis.ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmdynamicvis.SeededDataset',
        dataset=dict(
            dataset, indices=[i for i in range(20) if i % 5 != 4], pipeline=train_pipeline
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, indices=[4, 9, 14, 19], test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
