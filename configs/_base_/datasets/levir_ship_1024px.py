# LEVIR-Ship: 2320 tiles of 512 px to train, 788 to validate, 788 to test; input enlarged twice.
# data/levir_ship holds annotations/instances_{train,val,test}2017.json and
# images/{train,val,test}2017/:
#   python tools/prepare_data/levir_ship.py --help
data_root = 'data/levir_ship/'
data_preprocessor = dict(
    type='DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=32,
)
size = (1024, 1024)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(
        type='mmdynamicvis.RandomScaleCrop',
        crop_size=size,
        ratio_range=(0.5, 1.8),
        allow_negative_crop=True,
    ),
    # the mean color in the order B, G, R
    dict(type='Pad', size=size, pad_val=dict(img=(104, 116, 124))),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='Resize', scale=size, keep_ratio=True),
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
            [dict(type='PackDetInputs')],
        ],
    ),
]
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
dataset = dict(type='mmdynamicvis.LevirShipDetDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        dataset,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='images/train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        dataset,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='images/val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        dataset,
        ann_file='annotations/instances_test2017.json',
        data_prefix=dict(img='images/test2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(
    type='mmdynamicvis.SizedCocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    sizes=dict(small=(0, 32), medium=(32, 64)),
)
test_evaluator = dict(val_evaluator, ann_file=data_root + 'annotations/instances_test2017.json')
