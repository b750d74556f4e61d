# Retrieval: tested, never trained. mmpretrain is the host.
_base_ = ['default_runtime.py']

default_scope = 'mmpretrain'
test_cfg = dict()
test_evaluator = dict(type='mmdynamicvis.RetrievalMetric', k=20)
default_hooks = dict(
    checkpoint=None,
    param_scheduler=None,
    visualization=dict(type='VisualizationHook', enable=False),
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
