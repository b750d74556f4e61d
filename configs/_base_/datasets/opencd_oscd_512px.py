# OSCD in R, G, B enlarged twice, by open-cd (whose LEVIR_CD_Dataset reads any folders A/, B/,
# label/ of .png) and its transforms, otherwise as oscd_512px.py. Our loaders refuse damaged and
# mismatched files, which open-cd's do not. data/oscd_tiles is made by tools/prepare_data/oscd.py.
data_preprocessor = dict(
    type='DualInputSegDataPreProcessor',
    # for R, G, B in [0, 255] of each date
    mean=[123.675, 116.28, 103.53] * 2,
    std=[58.395, 57.12, 57.375] * 2,
    bgr_to_rgb=True,
    size=(512, 512),
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
scale = (512, 512)
size = (512, 512)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair', keys=None),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='MultiImgRandomResize', scale=scale, ratio_range=(0.5, 1.8), keep_ratio=True),
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
    dict(type='mmdynamicvis.LoadPair', keys=None),
    dict(type='MultiImgResize', scale=scale, keep_ratio=True),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='MultiImgPackSegInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadPair', keys=None),
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
            [dict(type='mmdynamicvis.LoadAnnotationsToBinary')],
            [dict(type='MultiImgPackSegInputs')],
        ],
    ),
]
dataset = dict(
    type='LEVIR_CD_Dataset',
    data_root='data/oscd_tiles/',
    data_prefix=dict(img_path_from='A', img_path_to='B', seg_map_path='label'),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(dataset, ann_file='list/train.txt', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(dataset, ann_file='list/test.txt', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
