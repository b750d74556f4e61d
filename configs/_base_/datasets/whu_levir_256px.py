# Extraction and change together, in crops of 256 px: single images of WHU with masks of buildings
# (512 px at 0.3 m), and pairs of LEVIR-CD with masks of change (1024 px at 0.5 m), as often as each
# other. data/whu_building holds {train,val}/{image,label}/, data/levir_cd holds
# {train,val}/{A,B,label}/. Evaluated are the buildings of WHU's images and the change of
# LEVIR-CD's pairs.
data_root = 'data/'
size = (256, 256)
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
load = [dict(type='mmdynamicvis.LoadPair'), dict(type='mmdynamicvis.LoadPairLabels')]
train_pipeline = [
    *load,
    dict(type='RandomCrop', crop_size=size),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    # applied to each date separately, so that the two copies of a single image differ
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
test_pipeline = [*load, dict(type='mmdynamicvis.PackLabelMaps')]
whu = dict(
    type='mmdynamicvis.BuildingPairs',
    data_root='data/whu_building/',
    img_suffix='.tif',
    seg_map_suffix='.tif',
)
levir = dict(type='mmdynamicvis.BuildingPairs', data_root='data/levir_cd/')
whu_train = dict(img_path='train/image', buildings_from='train/label')
levir_train = dict(img_path='train/A', img_path2='train/B', change='train/label')
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(whu, data_prefix=whu_train, pipeline=train_pipeline),
            # 445 pairs beside 4736 images
            dict(
                type='RepeatDataset',
                times=10,
                dataset=dict(levir, data_prefix=levir_train, pipeline=train_pipeline),
            ),
        ],
    ),
)
whu_val = dict(img_path='val/image', buildings_from='val/label')
levir_val = dict(img_path='val/A', img_path2='val/B', change='val/label')
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(whu, data_prefix=whu_val, test_mode=True, pipeline=test_pipeline),
            dict(levir, data_prefix=levir_val, test_mode=True, pipeline=test_pipeline),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmdynamicvis.TargetMetric', of='change', prefix='change'),
    # a single image is at both dates
    dict(type='mmdynamicvis.TargetMetric', of='buildings_from', prefix='buildings'),
]
test_evaluator = val_evaluator
