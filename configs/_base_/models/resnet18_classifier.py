# mmpretrain's ResNet-18, for comparison. A config adds head.num_classes.
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
model = dict(
    type='ImageClassifier',
    # Without zero_init_residual, mmpretrain's default, it learns faster in few epochs.
    backbone=dict(
        type='ResNet', depth=18, num_stages=4, out_indices=(3,), zero_init_residual=False
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=512, loss=dict(type='CrossEntropyLoss')),
)
