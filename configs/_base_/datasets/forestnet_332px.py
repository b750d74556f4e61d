# ForestNet: queries val, database test. data/ForestNetDataset holds val.csv, test.csv and
# examples/.
data_root = 'data/ForestNetDataset'
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
test_pipeline = [dict(type='mmdynamicvis.LoadIntactImage'), dict(type='PackInputs')]
dataset = dict(type='mmdynamicvis.ForestNet', data_root=data_root, pipeline=test_pipeline)
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
