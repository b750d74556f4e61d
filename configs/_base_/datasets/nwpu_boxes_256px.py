# NWPU VHR-10 at 256 px for small machines, only boxes.
_base_ = ['nwpu_256px.py']

train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(256, 256), keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
tta_model = dict(type='DetTTAModel')
