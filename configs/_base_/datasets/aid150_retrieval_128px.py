# A part of AID at 150 px: queries val, database train. data/aid150 holds <Class>/<class>_N.jpg,
# train.txt and val.txt.
data_root = 'data/aid150'
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='Resize', scale=(128, 128), interpolation='bicubic'),
    dict(type='PackInputs'),
]
dataset = dict(type='mmdynamicvis.AID', data_root=data_root, pipeline=test_pipeline)
test_dataloader = dict(
    batch_size=32,
    num_workers=1,
    # round_up=False: with several processes, no image is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmdynamicvis.QueriesAndDatabase',
        queries=dict(ann_file='val.txt', **dataset),
        database=dict(ann_file='train.txt', **dataset),
    ),
)
test_evaluator = dict(type='mmdynamicvis.RetrievalMetric', k=20)
