# reBEN (BigEarthNet, version 2), Sentinel-1 and Sentinel-2 at 10 m: patches of 120 px, 19 classes,
# several per patch. data/BigEarthNet holds BigEarthNet-S2/, BigEarthNet-S1/ and metadata.parquet.
# Means and deviations are those of version 1 (BigEarthNet-MM), of reflectance times 10000 and of
# dB. The bands of 60 m, B01 and B09, are left out.
data_root = 'data/BigEarthNet'
s2_bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
s1_bands = ('VV', 'VH')
data_preprocessor = dict(
    type='mmdynamicvis.ModalityPreprocessor',
    modalities=dict(
        sentinel2=dict(
            bands=s2_bands,
            unit='stored',
            mean=[
                429.943,
                614.217,
                590.236,
                950.684,
                1792.463,
                2075.468,
                2218.946,
                2266.460,
                1594.427,
                1009.327,
            ],
            std=[
                572.416,
                582.879,
                675.887,
                729.898,
                1096.015,
                1273.454,
                1365.456,
                1356.138,
                1079.191,
                818.867,
            ],
        ),
        sentinel1=dict(bands=s1_bands, unit='dB', mean=[-12.620, -19.290], std=[5.116, 5.464]),
    ),
)
load = dict(
    type='mmdynamicvis.LoadModalities',
    loaders=dict(
        sentinel2=dict(type='mmdynamicvis.LoadBandFiles', bands=s2_bands),
        sentinel1=dict(type='mmdynamicvis.LoadBandFiles', bands=s1_bands),
    ),
    units=dict(sentinel1='dB'),
)
train_pipeline = [
    load,
    dict(type='mmdynamicvis.RandomFlipTurn'),
    dict(type='mmdynamicvis.PackModalities'),
]
test_pipeline = [load, dict(type='mmdynamicvis.PackModalities')]
dataset = dict(type='mmdynamicvis.ReBEN', data_root=data_root)
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, split='validation', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(val_dataloader, dataset=dict(dataset, split='test', pipeline=test_pipeline))
val_evaluator = [
    # macro averages: means over the classes
    dict(type='mmpretrain.AveragePrecision'),
    dict(type='mmpretrain.MultiLabelMetric', average='macro'),
]
test_evaluator = val_evaluator
