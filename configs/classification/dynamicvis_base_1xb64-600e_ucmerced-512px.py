# DynamicVis base on UC Merced, pretrained on fMoW, its first stage frozen.
# Paper: F1 99.05. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-600e_ucmerced-512px.py \
#       --cfg-options model.backbone.init_cfg.checkpoint=FILE
# with the published pretraining checkpoint (see README.md beside this file).
_base_ = ['dynamicvis_base_1xb64-600e-scratch_ucmerced-512px.py']

model = dict(
    backbone=dict(
        frozen_stages=0,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dynamicvis_base_fmow.pth',
            prefix='backbone.',
        ),
    ),
)
