# open-cd's FC-Siam-diff on 11 pairs of LEVIR-CD at 256 px, from scratch: to compare with
# siamese_dynamicvis-tiny_1xb2-300i_levir-cd-256px.py, with the same data, loss and schedule.
# Ours: see README.md beside this file.
#   mim train mmdynamicvis fc-siam-diff_fcsn_1xb2-300i_levir-cd-256px.py
_base_ = [
    '../_base_/datasets/opencd_levir_cd_samples_256px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/opencd_runtime.py',
]

model = dict(
    type='DIEncoderDecoder',
    backbone=dict(type='FC_Siam_diff', in_channels=3, base_channel=16),
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
    test_cfg=dict(mode='whole'),
)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, save_best='target/f1', rule='greater'),
)
auto_scale_lr = dict(base_batch_size=2)
