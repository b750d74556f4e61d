# One DynamicVis tiny for boxes in aerial images (NWPU VHR-10) and ships in SAR images (SSDD), at
# 256 px, from scratch, for small machines: a head of FCOS per source, and learning rates balanced
# by the losses of the sources, as in SM3Det.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis multi-source-fcos_dynamicvis-tiny_1xb4-12e_nwpu-ssdd-256px.py
_base_ = [
    '../_base_/models/fcos_tiny.py',
    '../_base_/datasets/nwpu_ssdd_256px.py',
    '../_base_/schedules/adamw_cosine_12e.py',
    '../_base_/default_runtime.py',
]

head = dict(_base_.model.bbox_head, test_cfg=_base_.model.test_cfg)
model = dict(
    _delete_=True,
    type='mmdynamicvis.MultiSourceDetector',
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,
    bbox_heads=dict(rgb=dict(head, num_classes=10), sar=dict(head, num_classes=1)),
)
custom_hooks = [
    dict(
        type='mmdynamicvis.BalancedLearningRateHook',
        parts={
            'bbox_heads.rgb': ['rgb.loss_cls', 'rgb.loss_bbox', 'rgb.loss_centerness'],
            'bbox_heads.sar': ['sar.loss_cls', 'sar.loss_bbox', 'sar.loss_centerness'],
        },
        partial=True,  # a batch may have no image of a source
    )
]
find_unused_parameters = True  # for the same reason
default_hooks = dict(
    checkpoint=dict(save_best='rgb/coco/bbox_mAP', rule='greater'),
    # the sources have different classes
    visualization=dict(draw=False),
)
