# Boxes in aerial images (NWPU VHR-10, ten classes) and ships in SAR images (SSDD) together, at
# 256 px for small machines: data/nwpu_vhr10 and data/ssdd with imgs/ and annotations/. Samples
# name their source, rgb or sar. SSDD's images are gray, of three equal channels.
_base_ = ['nwpu_256px.py']

data_root = 'data/'
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'source')
pack = dict(type='PackDetInputs', meta_keys=(*meta_keys, 'flip', 'flip_direction'))
load = dict(type='mmdynamicvis.LoadIntactImage')
boxes = dict(type='LoadAnnotations', with_bbox=True)
resize = dict(type='Resize', scale=(256, 256), keep_ratio=True)
flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
rgb = dict(type='mmdynamicvis.TagSource', source='rgb')
sar = dict(type='mmdynamicvis.TagSource', source='sar')
nwpu = dict(
    type='mmdynamicvis.NWPUInsSegDataset',
    data_root='data/nwpu_vhr10/',
    data_prefix=dict(img='imgs/'),
)
ssdd = dict(
    type='mmdynamicvis.SSDDInsSegDataset',
    data_root='data/ssdd/',
    data_prefix=dict(img='imgs/'),
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                nwpu,
                ann_file='annotations/NWPU_instances_train.json',
                pipeline=[load, rgb, boxes, resize, flip, pack],
            ),
            dict(
                ssdd,
                ann_file='annotations/SSDD_instances_train.json',
                pipeline=[load, sar, boxes, resize, flip, pack],
            ),
        ],
    ),
)
pack_test = dict(type='PackDetInputs', meta_keys=meta_keys)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                nwpu,
                ann_file='annotations/NWPU_instances_val.json',
                test_mode=True,
                pipeline=[load, rgb, resize, pack_test],
            ),
            dict(
                ssdd,
                ann_file='annotations/SSDD_instances_val.json',
                test_mode=True,
                pipeline=[load, sar, resize, pack_test],
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='MultiDatasetsEvaluator',
    dataset_prefixes=('rgb', 'sar'),
    metrics=[
        dict(
            type='CocoMetric',
            ann_file='data/nwpu_vhr10/annotations/NWPU_instances_val.json',
            metric='bbox',
        ),
        dict(
            type='CocoMetric',
            ann_file='data/ssdd/annotations/SSDD_instances_val.json',
            metric='bbox',
        ),
    ],
)
test_evaluator = val_evaluator
# the pipeline of the base is that of one source
tta_model = None
tta_pipeline = None
