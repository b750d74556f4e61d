# open-cd's FC-Siam-diff on 14 pairs of LEVIR-CD and SZTAKI AirChange in crops of 128 px, from
# scratch, to compare with siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py, which has the
# same data, loss and schedule.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis fc-siam-diff_fcsn_1xb4-300i_levir-sztaki-128px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_sztaki_128px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

custom_imports = dict(imports=['mmdynamicvis.change_detection.opencd'], allow_failed_imports=False)
model = dict(
    _delete_=True,
    type='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.FC_Siam_diff', in_channels=3, base_channel=16),
    decode_head=dict(
        type='mmseg.FCNHead',
        in_channels=16,
        channels=16,
        in_index=-1,
        num_convs=0,
        concat_input=False,
        num_classes=2,
        dropout_ratio=0,
        norm_cfg=dict(type='BN'),
        loss_decode=[
            dict(type='mmseg.CrossEntropyLoss'),
            dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(128, 128), stride=(96, 96)),
)
default_hooks = dict(checkpoint=dict(save_best='target/f1', rule='greater'))
