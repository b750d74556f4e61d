# UPerNet with cross-entropy plus three times Dice, as in change detection, for a rare target:
# DynamicVis base on Massachusetts roads, from scratch.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis upernet-dice_dynamicvis-base_1xb8-200e-scratch_mass-roads-512px.py
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/massachusetts_roads_512px.py',
    '../_base_/schedules/adamw_cosine_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type='CrossEntropyLoss', avg_non_ignore=True),
            dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
        ],
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
