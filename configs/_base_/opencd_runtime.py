# open-cd is the host: plain names (type='SiamEncoderDecoder') are looked up there first. It is
# imported beside current mmcv and mmsegmentation; start with `mim train mmdynamicvis`.
_base_ = ['default_runtime.py']

custom_imports = dict(imports=['mmdynamicvis.change_detection.opencd'], allow_failed_imports=False)
default_scope = 'opencd'
custom_hooks = [
    # hits and errors of the target class: a picture per test pair, in the folder of the run's log
    dict(type='mmdynamicvis.ErrorMapHook', out_dir='error_maps'),
]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(type='mmseg.SegTTAModel')
