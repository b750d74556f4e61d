# OSCD with all 13 bands at their own 10, 20 and 60 m: tiles of 960 m that overlap by half, 14
# cities to train, 10 to test. data/oscd_resolutions holds {10m,20m,60m}/NAME/{1,2}.tif, label/ and
# list/{train,test}.txt:
#   python tools/prepare_data/oscd.py data/oscd data/oscd_resolutions --bands resolutions \
#       --size 96 --stride 48
# Means and deviations (of reflectance times 10000) are those of one city. The files are in degrees,
# so their ground sampling distances are declared.
data_root = 'data/oscd_resolutions/'
bands = dict(
    s2_10m=('B02', 'B03', 'B04', 'B08'),
    s2_20m=('B05', 'B06', 'B07', 'B8A', 'B11', 'B12'),
    s2_60m=('B01', 'B09', 'B10'),
)
gsd = dict(s2_10m=10.0, s2_20m=20.0, s2_60m=60.0)
data_preprocessor = dict(
    type='mmdynamicvis.ModalityPreprocessor',
    modalities=dict(
        s2_10m=dict(
            unit='stored',
            mean=[1176.0, 1068.0, 977.0, 2056.0],
            std=[253.0, 283.0, 371.0, 660.0],
        ),
        s2_20m=dict(
            unit='stored',
            mean=[1130.0, 1753.0, 1951.0, 2229.0, 1756.0, 1185.0],
            std=[309.0, 461.0, 605.0, 695.0, 475.0, 404.0],
        ),
        s2_60m=dict(
            unit='stored',
            mean=[1403.0, 475.0, 10.0],
            std=[146.0, 122.0, 2.0],
        ),
    ),
)
load = [
    dict(
        type='mmdynamicvis.LoadModalities',
        loaders=dict(
            s2_10m=dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1, 2, 3, 4)),
            s2_20m=dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1, 2, 3, 4, 5, 6)),
            s2_60m=dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1, 2, 3)),
        ),
        gsd=gsd,
    ),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
]
train_pipeline = [
    *load,
    dict(type='mmdynamicvis.RandomFlipTurn'),
    dict(type='mmdynamicvis.PackModalities'),
]
test_pipeline = [*load, dict(type='mmdynamicvis.PackModalities')]
dataset = dict(
    type='mmdynamicvis.ModalitySegDataset',
    metainfo=dict(classes=('unchanged', 'changed'), palette=[(0, 0, 0), (255, 255, 255)]),
    data_root=data_root,
    data_prefix=dict(s2_10m='10m', s2_20m='20m', s2_60m='60m', seg_map_path='label'),
    # both dates of each resolution, in this order
    suffixes=dict(s2_10m='/*.tif', s2_20m='/*.tif', s2_60m='/*.tif', seg_map_path='.png'),
    primary='s2_10m',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='mmdynamicvis.ResumableInfiniteSampler'),
    dataset=dict(
        type='mmdynamicvis.SeededDataset',
        dataset=dict(dataset, ann_file='list/train.txt', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, ann_file='list/test.txt', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdynamicvis.TargetMetric')
test_evaluator = val_evaluator
