# Pairs of LEVIR-CD (256 px at 0.5 m/px) and of SZTAKI AirChange (952 x 640 px at 1.5 m/px, the
# publishers' .bmp files converted) together in crops of 128 px, for small machines. Of LEVIR-CD 8
# pairs train and 3 are held out, of SZTAKI 2 of Szada train, as often as the 8, and 1 of Tiszadob
# is held out. data/ holds levir_cd/{A,B,label,list}/ and
# sztaki_airchange/PLACE/NUMBER/{im1,im2,gt}.png.
_base_ = ['pairs_256px.py']

data_root = 'data/'
data_preprocessor = dict(size=(128, 128))
levir = dict(
    type='mmdynamicvis.ChangeDataset',
    data_root='data/levir_cd/',
    data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
    ann_file='list/all.txt',
)
sztaki = dict(
    type='mmdynamicvis.ChangeDataset',
    data_root='data/sztaki_airchange/',
    img_suffix='/im1.png',
    img_suffix2='/im2.png',
    seg_map_suffix='/gt.png',
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
    dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.95),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(
        type='mmdynamicvis.EachDate',
        transforms=[
            dict(
                type='PhotoMetricDistortion',
                brightness_delta=10,
                contrast_range=(0.8, 1.2),
                saturation_range=(0.8, 1.2),
                hue_delta=10,
            ),
        ],
    ),
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
szada = dict(img_path='Szada', img_path2='Szada', seg_map_path='Szada')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='mmdynamicvis.ResumableInfiniteSampler'),
    dataset=dict(
        _delete_=True,
        type='mmdynamicvis.SeededDataset',
        dataset=dict(
            type='ConcatDataset',
            datasets=[
                dict(levir, indices=[0, 1, 2, 3, 6, 7, 8, 9], pipeline=train_pipeline),
                dict(
                    type='RepeatDataset',
                    times=4,
                    dataset=dict(sztaki, data_prefix=szada, pipeline=train_pipeline),
                ),
            ],
        ),
    ),
)
tiszadob = dict(img_path='Tiszadob', img_path2='Tiszadob', seg_map_path='Tiszadob')
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(levir, indices=[4, 5, 10], test_mode=True, pipeline=test_pipeline),
            dict(sztaki, data_prefix=tiszadob, test_mode=True, pipeline=test_pipeline),
        ],
    ),
)
test_dataloader = val_dataloader
