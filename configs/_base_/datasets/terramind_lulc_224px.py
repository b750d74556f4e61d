# Land cover from Sentinel-2, Sentinel-1 and elevation at 10 m: tiles of 224 px as in the examples
# of TerraMind, {train,val}/{S2L2A,S1RTC,DEM,LULC}/NAME.tif below data/terramind. Means and
# deviations are those of TerraMind's pretraining (terratorch). In LULC, 0 is no data.
data_root = 'data/terramind/'
s2_bands = (
    'B01',
    'B02',
    'B03',
    'B04',
    'B05',
    'B06',
    'B07',
    'B08',
    'B8A',
    'B09',
    'B11',
    'B12',
)
data_preprocessor = dict(
    type='mmdynamicvis.ModalityPreprocessor',
    modalities=dict(
        sentinel2=dict(
            bands=s2_bands,
            unit='reflectance',
            mean=[
                0.1390458,
                0.1503317,
                0.1718197,
                0.185391,
                0.21991,
                0.2779975,
                0.2987011,
                0.3083234,
                0.313222,
                0.3162988,
                0.2424884,
                0.1857648,
            ],
            std=[
                0.2106761,
                0.2141107,
                0.2038973,
                0.2134138,
                0.2085321,
                0.1889926,
                0.1820257,
                0.1871918,
                0.1753829,
                0.1797379,
                0.1434261,
                0.1334311,
            ],
        ),
        sentinel1=dict(unit='dB', mean=[-10.93, -17.329], std=[4.391, 4.459]),
        # meters
        dem=dict(unit='stored', mean=[670.665], std=[951.272]),
    ),
)
load = [
    dict(
        type='mmdynamicvis.LoadModalities',
        loaders=dict(
            # the tiles are corrected for the offset of baseline 04.00
            sentinel2=dict(
                type='mmdynamicvis.LoadGeoTIFF',
                bands=s2_bands,
                sensor='sentinel2_no_offset',
                unit='reflectance',
            ),
            # VV and VH; the files call both 'bands'
            sentinel1=dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1, 2), unit='dB'),
            dem=dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1,), unit='stored'),
        ),
    ),
    dict(type='mmdynamicvis.LoadLabelMap'),
]
train_pipeline = [
    *load,
    dict(type='mmdynamicvis.RandomFlipTurn'),
    dict(type='mmdynamicvis.PackModalities'),
]
test_pipeline = [*load, dict(type='mmdynamicvis.PackModalities')]
folders = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM', seg_map_path='LULC')
dataset = dict(type='mmdynamicvis.TerraMeshLandCover', data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    # a batch of one sample fails: batch norms in the pyramid pooling get one value per image
    drop_last=True,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        dataset,
        data_prefix={name: f'train/{folder}' for name, folder in folders.items()},
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
        data_prefix={name: f'val/{folder}' for name, folder in folders.items()},
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU', 'mFscore'])
test_evaluator = val_evaluator
