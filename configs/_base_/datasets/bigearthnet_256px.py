# BigEarthNet, Sentinel-2: queries val, database test. data/BigEarthNet holds BigEarthNet-v1.0/
# with a folder per patch, and val.csv and test.csv with the names of patches in their first column.
data_root = 'data/BigEarthNet'
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
test_pipeline = [
    # blue, green, red; scaled as in the true-color product of the satellite
    dict(type='mmdynamicvis.LoadBandFiles', bands=('B02', 'B03', 'B04'), scaling=(0, 3558)),
    # patches have 120 px
    dict(type='Resize', scale=(256, 256), interpolation='bicubic'),
    dict(type='PackInputs'),
]
dataset = dict(type='mmdynamicvis.BigEarthNet', data_root=data_root, pipeline=test_pipeline)
test_dataloader = dict(
    batch_size=64,
    num_workers=2,
    # round_up=False: with several processes, no image is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.QueriesAndDatabase',
        queries=dict(ann_file='val.csv', **dataset),
        database=dict(ann_file='test.csv', **dataset),
    ),
)
test_evaluator = dict(type='mmdynamicvis.RetrievalMetric', k=20)
