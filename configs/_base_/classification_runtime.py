# mmpretrain is the host: plain names (type='ImageClassifier') are looked up there first.
_base_ = ['default_runtime.py']

default_scope = 'mmpretrain'
val_evaluator = [
    dict(type='mmpretrain.Accuracy'),
    # macro: the mean over the classes
    dict(
        type='mmpretrain.SingleLabelMetric',
        items=('precision', 'recall', 'f1-score'),
        average='macro',
    ),
]
test_evaluator = val_evaluator
tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
default_hooks = dict(
    checkpoint=dict(save_best='single-label/f1-score', rule='greater'),
    # `tools/test.py --show-dir DIR` switches it on.
    visualization=dict(type='VisualizationHook', enable=False),
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
