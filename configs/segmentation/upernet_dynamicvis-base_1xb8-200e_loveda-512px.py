# UPerNet with DynamicVis base on LoveDA, 7 classes. Backbone (first stage frozen) and FPN start
# from the pretraining on fMoW.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet_dynamicvis-base_1xb8-200e_loveda-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/upernet_base_fmow.py',
    '../_base_/datasets/loveda_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    decode_head=dict(num_classes=7),
    auxiliary_head=dict(num_classes=7),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
custom_hooks = []
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
