# nwpu_regions_192px.py in crops of 128 px from images at about 384 px, with half of the categories
# held out: their boxes are evaluated, but not trained on.
_base_ = ['nwpu_regions_192px.py']

# every second category of the annotation files
held_out = ['ship', 'baseball_diamond', 'basketball_court', 'harbor', 'vehicle']
data_preprocessor = dict(batch_augments=[dict(type='BatchFixedSizePad', size=(128, 128))])
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(384, 384), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(8, 8), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(384, 384), keep_ratio=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(held_out=held_out, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmdynamicvis.ZeroShotMetric', held_out=held_out)]
test_evaluator = val_evaluator
