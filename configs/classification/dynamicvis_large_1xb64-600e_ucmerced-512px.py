# DynamicVis large on UC Merced, pretrained on fMoW, its first stage frozen.
# Paper: F1 99.09. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_large_1xb64-600e_ucmerced-512px.py \
#       --cfg-options model.backbone.init_cfg.checkpoint=FILE
# with the published pretraining checkpoint (see README.md in this folder).
_base_ = [
    '../_base_/models/dynamicvis_classifier_large.py',
    '../_base_/datasets/ucmerced_512px.py',
    '../_base_/schedules/adamw_cosine_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dynamicvis_large_fmow.safetensors',
            prefix='backbone.',
        ),
    ),
    head=dict(num_classes=21),
)
train_cfg = dict(max_epochs=600)
