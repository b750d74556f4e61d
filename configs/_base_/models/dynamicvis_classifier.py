# DynamicVis base with a linear classifier on the normalized mean of its last map. A config adds
# head.num_classes and, for another arch, sets head.in_channels (tiny 384, small 512, large 1024).
# Settings are those of the published configs.
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmdynamicvis.DynamicVis',
        arch='base',
        published=True,
        img_size=512,
        reduction_ratios=(7 / 8, 3 / 4, 1 / 2, 0),
        selection_noise=dict(type='decay', val=0.1),
        out_indices=(3,),
        out_type='avg_featmap',
    ),
    head=dict(type='LinearClsHead', in_channels=768, loss=dict(type='CrossEntropyLoss')),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)],
    ),
)
