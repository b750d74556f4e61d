# An example for custom data with four bands (red, green, blue, near infrared), like those of NAIP:
# 8-bit GeoTIFFs {train,val}/images/NAME.tif and masks {train,val}/masks/NAME.tif of 0 and 255 (or
# 0 and 1) below data/naip. Means and deviations are those of two scenes; use those of your own.
data_root = 'data/naip/'
mean = [103.3, 116.6, 95.1, 152.5]
std = [31.7, 29.1, 28.8, 68.7]
load = dict(
    type='mmdynamicvis.LoadGeoTIFF',
    bands=['red', 'green', 'blue', 'nir'],
    sensor='naip',
    unit='uint8',
    nodata_where='all',
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
    size=(512, 512),
    seg_pad_val=255,
)
train_pipeline = [
    load,
    *annotations,
    dict(type='RandomCrop', crop_size=(512, 512)),
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
