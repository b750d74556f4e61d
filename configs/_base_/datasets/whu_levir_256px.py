# Extraction and change together, in crops of 256 px: single images of WHU with masks of buildings
# (512 px at 0.3 m), and pairs of LEVIR-CD with masks of change (1024 px at 0.5 m), as often as each
# other. data/whu_building holds {train,val}/{image,label}/, data/levir_cd holds
# {train,val}/{A,B,label}/. Evaluated are the buildings of WHU's images and the change of
# LEVIR-CD's pairs.
_base_ = ['semantic_pairs.py']

data_root = 'data/'
size = (256, 256)
data_preprocessor = dict(size=size, size_divisor=None)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomCrop', crop_size=size),
    # each date is distorted for itself, so that the two copies of a single image differ
    *_base_.train_pipeline[2:],
]
test_pipeline = _base_.test_pipeline
whu = dict(
    type='mmdynamicvis.BuildingPairs',
    data_root='data/whu_building/',
    img_suffix='.tif',
    seg_map_suffix='.tif',
)
levir = dict(type='mmdynamicvis.BuildingPairs', data_root='data/levir_cd/')
whu_train = dict(img_path='train/image', buildings_from='train/label')
levir_train = dict(img_path='train/A', img_path2='train/B', change='train/label')
train_dataloader = dict(
    num_workers=4,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(whu, data_prefix=whu_train, pipeline=train_pipeline),
            # 445 pairs beside 4736 images
            dict(
                type='RepeatDataset',
                times=10,
                dataset=dict(levir, data_prefix=levir_train, pipeline=train_pipeline),
            ),
        ],
    ),
)
whu_val = dict(img_path='val/image', buildings_from='val/label')
levir_val = dict(img_path='val/A', img_path2='val/B', change='val/label')
val_dataloader = dict(
    num_workers=4,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(whu, data_prefix=whu_val, test_mode=True, pipeline=test_pipeline),
            dict(levir, data_prefix=levir_val, test_mode=True, pipeline=test_pipeline),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmdynamicvis.TargetMetric', of='change', prefix='change'),
    # a single image is at both dates
    dict(type='mmdynamicvis.TargetMetric', of='buildings_from', prefix='buildings'),
]
test_evaluator = val_evaluator
