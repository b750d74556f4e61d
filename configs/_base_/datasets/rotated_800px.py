# Rotated boxes in images at about 800 px: normalization, augmentation, loaders. The file of a
# dataset adds the datasets.
data_preprocessor = dict(
    type='mmdet.DetDataPreprocessor',
    # for R, G, B in [0, 255]
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=32,
    boxtype2tensor=False,
)
train_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Resize', scale=(800, 800), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdet.Resize', scale=(800, 800), keep_ratio=True),
    # after Resize, because predictions are scaled back to the size of the image files
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
tta_pipeline = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='mmdet.Resize', scale=(800, 800), keep_ratio=True)],
            [
                dict(type='mmdet.RandomFlip', prob=0.0),
                dict(type='mmdet.RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='mmdet.RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox')],
            [dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox'))],
            [
                dict(
                    type='mmdet.PackDetInputs',
                    meta_keys=(
                        'img_id',
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'flip',
                        'flip_direction',
                    ),
                )
            ],
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    # round_up=False: with several processes, no image is counted twice
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
# mAP at an IoU of 0.5, area under the curve (VOC 2012)
val_evaluator = dict(type='DOTAMetric', metric='mAP', eval_mode='area')
test_evaluator = val_evaluator
