# Instance segmentation at 1024 px with large-scale jitter: pipelines and loaders. The file of a
# dataset adds the datasets.
data_preprocessor = dict(
    type='DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_mask=True,
    pad_size_divisor=32,
)
size = (1024, 1024)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    # large-scale jitter
    dict(
        type='mmdynamicvis.RandomScaleCrop',
        crop_size=size,
        ratio_range=(0.1, 2.0),
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    # the mean color in the order B, G, R
    dict(type='Pad', size=size, pad_val=dict(img=(104, 116, 124), masks=0)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='Pad', size=size, pad_val=dict(img=(104, 116, 124), masks=0)),
    dict(type='PackDetInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=size, keep_ratio=True)],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
                dict(type='RandomFlip', prob=1.0, direction='diagonal'),
            ],
            [dict(type='Pad', size=size, pad_val=dict(img=(104, 116, 124)))],
            [dict(type='PackDetInputs')],
        ],
    ),
]
tta_model = dict(
    type='mmdynamicvis.InstanceTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
