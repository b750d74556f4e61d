# GEO-Bench's m-eurosat: 13 Sentinel-2 bands at 64 px, 10 classes, 2000 training, 1000 validation
# and 1000 test images, of which the visible bands are used. data/m-eurosat is the folder
# classification_v1.0/m-eurosat of GEO-Bench's download.
_base_ = ['scenes_128px.py']

data_root = 'data/m-eurosat'
data_preprocessor = dict(num_classes=10)
# As in EuroSAT's RGB images 2750, a reflectance of 0.275, is white.
loader = dict(
    type='mmdynamicvis.LoadGEOBench', bands=['02 - Blue', '03 - Green', '04 - Red'], white=2750
)
train_pipeline = [
    loader,
    dict(
        type='RandomResizedCrop',
        scale=64,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
test_pipeline = [loader, dict(type='PackInputs')]
tta_pipeline = [loader, _base_.tta_pipeline[-1]]
dataset = dict(_delete_=True, type='mmdynamicvis.GEOBench', data_root=data_root)
train_dataloader = dict(
    batch_size=64, dataset=dict(**dataset, subset='train', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(**dataset, subset='valid', test_mode=True, pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(**dataset, subset='test', test_mode=True, pipeline=test_pipeline)
)
