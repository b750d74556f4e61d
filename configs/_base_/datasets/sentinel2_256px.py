# An example for custom data with the 13 bands of Sentinel-2, resampled to one resolution: 16-bit
# GeoTIFFs {train,val}/images/NAME.tif and masks {train,val}/masks/NAME.tif of 0 and 255 (or 0 and
# 1) below data/sentinel2. Means and deviations (of reflectance times 10000) are those of one scene
# at two dates; use those of your own. Bands are B01 to B08, B8A, B09 to B12.
data_root = 'data/sentinel2/'
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
load = dict(
    type='mmdynamicvis.LoadGeoTIFF',
    bands=list(range(1, 14)),
    dtype='uint16',
    nodata_where='any',
    nodata_fill=mean,
)
annotations = [
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='mmdynamicvis.IgnoreNodata'),
]
data_preprocessor = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    mean=mean,
    std=std,
    size=(256, 256),
    seg_pad_val=255,
)
train_pipeline = [
    load,
    *annotations,
    dict(type='RandomCrop', crop_size=(256, 256)),
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
    type='BaseSegDataset',
    metainfo=dict(classes=('background', 'target'), palette=[(0, 0, 0), (255, 255, 255)]),
    data_root=data_root,
    img_suffix='.tif',
    seg_map_suffix='.tif',
)
train_dataloader = dict(
    batch_size=8,
    # a batch of one image fails: batch norms in the pyramid pooling get one value per image
    drop_last=True,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='train/images', seg_map_path='train/masks'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='val/images', seg_map_path='val/masks'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
