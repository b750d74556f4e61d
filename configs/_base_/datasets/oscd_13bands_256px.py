# OSCD in all 13 bands, on the grid of 10 m: tiles of 256 px that overlap by 128 px, 14 cities to
# train, 10 to test. data/oscd_tiles13 holds A/, B/, label/ and list/{train,test}.txt:
#   python tools/prepare_data/oscd.py --bands all --help
# Means and deviations (of reflectance times 10000) are those of one city; bands are B01 to B08,
# B8A, B09 to B12.
mean = [
    1403.0,
    1176.0,
    1068.0,
    977.0,
    1130.0,
    1753.0,
    2056.0,
    1951.0,
    2229.0,
    475.0,
    10.0,
    1756.0,
    1185.0,
]
std = [146.0, 253.0, 283.0, 371.0, 309.0, 461.0, 605.0, 660.0, 695.0, 122.0, 2.0, 475.0, 404.0]
data_preprocessor = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    num_dates=2,
    mean=mean,
    std=std,
    size=(256, 256),
    seg_pad_val=255,
    test_cfg=dict(size_divisor=32),
)
load = dict(
    type='mmdynamicvis.LoadPair',
    loader=dict(
        type='mmdynamicvis.LoadGeoTIFF',
        bands=list(range(1, 14)),
        dtype='uint16',
        nodata_fill=mean,
    ),
)
annotations = [
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='mmdynamicvis.IgnoreNodata'),
]
train_pipeline = [
    load,
    *annotations,
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackSegInputs'),
]
test_pipeline = [load, *annotations, dict(type='PackSegInputs')]
tta_pipeline = [
    load,
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            annotations[:1],
            annotations[1:],
            [dict(type='PackSegInputs')],
        ],
    ),
]
dataset = dict(
    type='mmdynamicvis.ChangeDataset',
    data_root='data/oscd_tiles13/',
    data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
    img_suffix='.tif',
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
