# UPerNet with DynamicVis tiny on 20 aerial images with roads at 256 px, from scratch, for small
# machines. For comparison, with all else equal: upernet_resnet18_1xb4-300i_cil-roads-256px.py.
# Paper: no number for this model. Ours: see README.md in this folder.
#   mim train mmdynamicvis upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py
_base_ = [
    '../_base_/models/upernet_tiny.py',
    '../_base_/datasets/cil_roads_256px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(144, 144)))
default_hooks = dict(checkpoint=dict(save_best='target/iou', rule='greater'))
