# mmseg is the host: plain names (type='UPerHead') are looked up there first.
_base_ = ['default_runtime.py']

default_scope = 'mmseg'
default_hooks = dict(
    # classes over the image: at test into the run's folder, or where `tools/test.py --show-dir DIR`
    # says; one every 50 steps of a validation
    visualization=dict(type='SegVisualizationHook', draw=True),
)
custom_hooks = [
    # hits and errors of the target class: a picture per test image, in the folder of the run's log
    dict(type='mmdynamicvis.ErrorMapHook', out_dir='error_maps'),
]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(type='SegTTAModel')
