# DIOR-R (20 categories, images of 800 px): 5862 images to train, 5863 to validate, 11738 to test.
# As usual, models are trained on the first two and tested on the third. data/DIOR is as published.
_base_ = ['rotated_800px.py']

data_root = 'data/DIOR/'
dataset = dict(type='mmdynamicvis.DIORRotatedDataset', data_root=data_root)
trainval = dict(
    data_prefix=dict(img_path='JPEGImages-trainval'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline={{_base_.train_pipeline}},
    **dataset,
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(ann_file='ImageSets/Main/train.txt', **trainval),
            dict(ann_file='ImageSets/Main/val.txt', **trainval),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        ann_file='ImageSets/Main/test.txt',
        data_prefix=dict(img_path='JPEGImages-test'),
        **dataset,
    ),
)
test_dataloader = val_dataloader
