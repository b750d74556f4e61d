# The boxes of NWPU VHR-10 (10 categories, 520 images to train, 130 to validate) as regions, in
# crops of 192 px from images at about 512 px. data/nwpu_vhr10 holds imgs/ and annotations/.
data_root = 'data/nwpu_vhr10/'
# in the order of the annotation files
classes = [
    'airplane',
    'ship',
    'storage_tank',
    'baseball_diamond',
    'tennis_court',
    'basketball_court',
    'ground_track_field',
    'harbor',
    'bridge',
    'vehicle',
]
data_preprocessor = dict(
    type='DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=32,
    # in training, images that RandomResize made smaller than a crop are padded
    batch_augments=[dict(type='BatchFixedSizePad', size=(192, 192))],
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(512, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(8, 8), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    drop_last=True,
    sampler=dict(type='mmdynamicvis.ResumableSampler', shuffle=True),
    dataset=dict(
        type='mmdynamicvis.CocoRegions',
        data_root=data_root,
        ann_file='annotations/NWPU_instances_train.json',
        data_prefix=dict(img='imgs/'),
        metainfo=dict(classes=classes),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    # round_up=False: with several processes, no image is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.CocoRegions',
        data_root=data_root,
        ann_file='annotations/NWPU_instances_val.json',
        data_prefix=dict(img='imgs/'),
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmdynamicvis.RegionMetric')]
test_evaluator = [dict(type='mmdynamicvis.RegionMetric', confusion_matrix=True)]
