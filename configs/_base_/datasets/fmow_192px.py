# fMoW in crops of 192 px from images at about 384 px, for small machines; data as in fmow_512px.py.
_base_ = ['fmow_512px.py']

data_preprocessor = dict(batch_augments=[dict(type='BatchFixedSizePad', size=(192, 192))])
train_pipeline = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(384, 384), ratio_range=(0.25, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(8, 8), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(384, 384), keep_ratio=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=16, num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, num_workers=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
