# BRIGHT: optical images before a disaster, SAR after it, at 0.3 to 1 m; crops of 512 px from tiles
# of 1024 px, 2918 to train, 450 to validate, 878 to test. data/bright holds {pre-event,post-event,
# target}/ and the lists {train,val,test}_set.txt of the publishers' standard_ML split. Images are
# read as pixels, without georeferencing, as if all were at 0.5 m. Means and deviations are those of
# ImageNet, of SAR the means of the three colors, as the publishers normalize.
data_root = 'data/bright/'
gsd = dict(optical=0.5, sar=0.5)
data_preprocessor = dict(
    type='mmdynamicvis.ModalityPreprocessor',
    modalities=dict(
        optical=dict(
            bands=('blue', 'green', 'red'),
            unit='uint8',
            mean=[103.53, 116.28, 123.675],
            std=[57.375, 57.12, 58.395],
        ),
        sar=dict(unit='uint8', mean=[114.495], std=[57.63]),
    ),
)
load = [
    dict(
        type='mmdynamicvis.LoadModalities',
        loaders=dict(
            optical=dict(type='mmdynamicvis.LoadIntactImage'),
            sar=dict(type='mmdynamicvis.LoadIntactImage', color_type='grayscale'),
        ),
        gsd=gsd,
    ),
    dict(type='mmdynamicvis.LoadPairLabels'),
]
pack = dict(type='mmdynamicvis.PackModalities', packer=dict(type='mmdynamicvis.PackLabelMaps'))
train_pipeline = [
    *load,
    # meters: 512 px
    dict(type='mmdynamicvis.RandomFootprintCrop', size=256.0),
    dict(type='mmdynamicvis.RandomFlipTurn'),
    pack,
]
test_pipeline = [*load, pack]
train_dataloader = dict(
    batch_size=8,
    # without a batch of one crop
    drop_last=True,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmdynamicvis.BRIGHT',
        data_root=data_root,
        ann_file='train_set.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    # round_up=False: with several processes, no pair is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.BRIGHT',
        data_root=data_root,
        ann_file='val_set.txt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.BRIGHT',
        data_root=data_root,
        ann_file='test_set.txt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='mmdynamicvis.BuildingDamageMetric')
test_evaluator = val_evaluator
