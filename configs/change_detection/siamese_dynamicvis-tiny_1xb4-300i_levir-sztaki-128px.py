# Change detection with DynamicVis tiny on 14 pairs of LEVIR-CD and SZTAKI AirChange in crops of
# 128 px, from scratch, for small machines. For comparison, with all else equal:
# siamese_resnet18_1xb4-300i_levir-sztaki-128px.py, and open-cd's
# fc-siam-diff_fcsn_1xb4-300i_levir-sztaki-128px.py.
# Paper: no number for this model. Ours: see README.md in this folder.
#   mim train mmdynamicvis siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_sztaki_128px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=128),
    test_cfg=dict(mode='slide', crop_size=(128, 128), stride=(96, 96)),
)
default_hooks = dict(checkpoint=dict(save_best='target/f1', rule='greater'))
