# As scene_pairs_1024px.py, by open-cd's transforms. A dataset's file adds the datasets.
data_preprocessor = dict(
    type='DualInputSegDataPreProcessor',
    # of R, G, B in [0, 255], of either date
    mean=[123.675, 116.28, 103.53] * 2,
    std=[58.395, 57.12, 57.375] * 2,
    bgr_to_rgb=True,
    size=(1024, 1024),
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
scale = (2048, 2048)
size = (1024, 1024)
train_pipeline = [
    dict(type='MultiImgLoadImageFromFile', imdecode_backend='pillow'),
    dict(type='MultiImgLoadAnnotations'),
    dict(type='MultiImgRandomRotate', prob=0.5, degree=180),
    dict(type='MultiImgRandomResize', scale=scale, ratio_range=(0.2, 1.8), keep_ratio=True),
    dict(type='MultiImgRandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='MultiImgRandomFlip', prob=0.5, direction='horizontal'),
    dict(type='MultiImgRandomFlip', prob=0.5, direction='vertical'),
    dict(
        type='MultiImgPhotoMetricDistortion',
        brightness_delta=10,
        contrast_range=(0.8, 1.2),
        saturation_range=(0.8, 1.2),
        hue_delta=10,
    ),
    dict(type='MultiImgPackSegInputs'),
]
test_pipeline = [
    dict(type='MultiImgLoadImageFromFile', imdecode_backend='pillow'),
    dict(type='MultiImgResize', scale=scale, keep_ratio=True),
    dict(type='MultiImgLoadAnnotations'),
    dict(type='MultiImgPackSegInputs'),
]
tta_pipeline = [
    dict(type='MultiImgLoadImageFromFile', imdecode_backend='pillow'),
    dict(type='MultiImgResize', scale=scale, keep_ratio=True),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='MultiImgResize', scale_factor=ratio, keep_ratio=True)
                for ratio in (0.75, 1.0, 1.25)
            ],
            [
                dict(type='MultiImgRandomFlip', prob=0.0),
                dict(type='MultiImgRandomFlip', prob=1.0, direction='horizontal'),
                dict(type='MultiImgRandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='MultiImgLoadAnnotations')],
            [dict(type='MultiImgPackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='LEVIR_CD_Dataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='LEVIR_CD_Dataset', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
