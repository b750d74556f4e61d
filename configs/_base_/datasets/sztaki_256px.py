# SZTAKI AirChange: pairs of 952 x 640 px at 1.5 m/px, in crops of 256 px. data/sztaki_airchange
# holds PLACE/NUMBER/{im1,im2,gt}.png (the publishers' .bmp files converted); Szada to train,
# Tiszadob held out.
_base_ = ['pairs_256px.py']

dataset = dict(
    data_root='data/sztaki_airchange/',
    img_suffix='/im1.png',
    img_suffix2='/im2.png',
    seg_map_suffix='/gt.png',
)
size = (256, 256)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.95),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=ratio, keep_ratio=True)
                for ratio in (0.75, 1.0, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='mmdynamicvis.LoadAnnotationsToBinary')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
prefix = dict(img_path='Szada', img_path2='Szada', seg_map_path='Szada')
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(dataset, data_prefix=prefix, pipeline=train_pipeline),
)
prefix = dict(img_path='Tiszadob', img_path2='Tiszadob', seg_map_path='Tiszadob')
val_dataloader = dict(
    num_workers=1, dataset=dict(dataset, data_prefix=prefix, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
