# EuroSAT RGB at 64 px: 10 classes, split 60/20/20 per class. data/EuroSAT holds
# <Class>/<Class>_N.jpg, train.txt, val.txt and test.txt:
#   python tools/prepare_data/split_classification.py data/EuroSAT --train-ratio 0.8 \
#       --names train_val.txt test.txt
#   python tools/prepare_data/split_classification.py data/EuroSAT --train-ratio 0.75 \
#       --list train_val.txt
_base_ = ['scenes_128px.py']

data_root = 'data/EuroSAT'
data_preprocessor = dict(num_classes=10)
dataset = dict(type='mmdynamicvis.EuroSAT', data_root=data_root)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
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
test_pipeline = [dict(type='mmdynamicvis.LoadIntactImage'), dict(type='PackInputs')]
# without the base's resizing
tta_pipeline = [dict(type='mmdynamicvis.LoadIntactImage'), _base_.tta_pipeline[-1]]
train_dataloader = dict(batch_size=64, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**dataset, ann_file='test.txt', pipeline=test_pipeline))
