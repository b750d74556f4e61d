# mmrotate is the host: plain names (type='RotatedFCOSHead') are looked up there first, mmdet's take
# the prefix mmdet.
_base_ = ['default_runtime.py']

default_scope = 'mmrotate'
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
default_hooks = dict(
    checkpoint=dict(save_best='dota/mAP', rule='greater'),
    # A picture per test image in the work folder, or where `tools/test.py --show-dir DIR` says;
    # one every 50 steps of a validation.
    visualization=dict(type='mmdet.DetVisualizationHook', draw=True, test_out_dir='pictures'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='RotLocalVisualizer', vis_backends=vis_backends)
tta_model = dict(
    type='mmdynamicvis.RotatedTTAModel',
    tta_cfg=dict(nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=2000),
)
