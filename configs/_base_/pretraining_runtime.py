# mmdet is the host: plain names (type='FPN') are looked up there first.
_base_ = ['default_runtime.py']

default_scope = 'mmdet'
val_evaluator = [dict(type='mmdynamicvis.RegionMetric')]
test_evaluator = [dict(type='mmdynamicvis.RegionMetric', confusion_matrix=True)]
custom_hooks = [
    dict(type='mmdynamicvis.ExactResumeHook'),
    dict(type='mmdynamicvis.SelectionStatisticsHook', interval=50),
    dict(type='NumClassCheckHook'),
]
default_hooks = dict(checkpoint=dict(save_best='region/f1-score', rule='greater'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
