# mmdet is the host: plain names (type='FPN') are looked up there first.
_base_ = ['default_runtime.py']

default_scope = 'mmdet'
custom_hooks = [dict(type='NumClassCheckHook')]
default_hooks = dict(
    # A picture per test image in the work folder, or where `tools/test.py --show-dir DIR` says;
    # one every 50 steps of a validation.
    visualization=dict(type='DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
