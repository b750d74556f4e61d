# DynamicVis base on AID, pretrained on fMoW, its first stage frozen.
# Paper: F1 96.04. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-500e_aid-512px.py \
#       --cfg-options model.backbone.init_cfg.checkpoint=FILE
# with the published pretraining checkpoint (see README.md in this folder).
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/aid_512px.py',
    '../_base_/schedules/adamw_cosine_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dynamicvis_base_fmow.safetensors',
            prefix='backbone.',
        ),
    ),
    head=dict(num_classes=30),
)
