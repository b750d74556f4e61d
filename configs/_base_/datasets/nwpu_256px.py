# NWPU VHR-10 with boxes and masks, 520 images to train and 130 to validate, at 256 px for small
# machines. data/nwpu_vhr10 holds imgs/ and annotations/NWPU_instances_{train,val}.json.
data_root = 'data/nwpu_vhr10/'
data_preprocessor = dict(
    type='DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_mask=True,
    pad_size_divisor=32,
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(256, 256), keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='Resize', scale=(256, 256), keep_ratio=True),
    dict(type='PackDetInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(256, 256), keep_ratio=True)],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
                dict(type='RandomFlip', prob=1.0, direction='diagonal'),
            ],
            [dict(type='PackDetInputs')],
        ],
    ),
]
tta_model = dict(
    type='mmdynamicvis.InstanceTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='mmdynamicvis.NWPUInsSegDataset',
        data_root=data_root,
        ann_file='annotations/NWPU_instances_train.json',
        data_prefix=dict(img='imgs/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdynamicvis.NWPUInsSegDataset',
        data_root=data_root,
        ann_file='annotations/NWPU_instances_val.json',
        data_prefix=dict(img='imgs/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/NWPU_instances_val.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
