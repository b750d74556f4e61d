# DynamicVis tiny of two modalities, Sentinel-2 and Sentinel-1, on BigEarthNet (reBEN), 19 classes,
# several per patch, from scratch.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis multimodal-dynamicvis-tiny_1xb64-10e_bigearthnet-120px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/bigearthnet_120px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdynamicvis.MultiModalDynamicVis',
        arch='tiny',
        img_size=120,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        position_embedding='metric',
        out_indices=(3,),
        primary='sentinel2',
        modalities=dict(
            sentinel2=dict(bands=_base_.s2_bands, gsd=10.0, unit='stored'),
            sentinel1=dict(bands=_base_.s1_bands, gsd=10.0, unit='dB'),
        ),
    ),
    neck=[
        dict(
            type='mmdynamicvis.ModalityNeck',
            in_channels=(384,),
            modalities=('sentinel2', 'sentinel1'),
            # meters: stride 32 at 10 m
            cells=(320.0,),
            out_channels=384,
        ),
        dict(type='GlobalAveragePooling'),
    ],
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=19,
        in_channels=384,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(save_best='multi-label/mAP', rule='greater'))
