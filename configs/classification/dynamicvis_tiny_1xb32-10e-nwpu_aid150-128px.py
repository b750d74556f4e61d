# DynamicVis tiny on a part of AID at 150 px at 128 px, pretrained on the regions of NWPU VHR-10.
# For comparison, from scratch: dynamicvis_tiny_1xb32-10e_aid150-128px.py.
# Paper: no number for this model. Ours: see ../pretraining/README.md.
#   mim train mmdynamicvis dynamicvis_tiny_1xb32-10e-nwpu_aid150-128px.py \
#       --cfg-options model.backbone.init_cfg.checkpoint=FILE
_base_ = [
    '../_base_/models/dynamicvis_classifier_tiny.py',
    '../_base_/datasets/aid150_128px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dynamicvis_tiny_nwpu.safetensors',
            prefix='backbone.',
        ),
    ),
    head=dict(num_classes=30),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
