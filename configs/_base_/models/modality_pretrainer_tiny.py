# DynamicVis tiny of several sensors that predicts hidden patches and contrasts cells of sensors. A
# config adds the modalities to backbone and neck.
default_scope = 'mmseg'
model = dict(
    type='mmdynamicvis.ModalityPretrainer',
    backbone=dict(
        type='mmdynamicvis.MultiModalDynamicVis',
        arch='tiny',
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        position_embedding='metric',
        # the losses use the last level alone
        out_indices=(3,),
    ),
    neck=dict(type='mmdynamicvis.ModalityNeck', in_channels=(384,)),
)
