# Change detection with DynamicVis tiny on SZTAKI AirChange in crops of 256 px, from scratch, for
# small machines.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese_dynamicvis-tiny_1xb2-300i_sztaki-256px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/sztaki_256px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128)))
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, save_best='target/f1', rule='greater'),
)
auto_scale_lr = dict(base_batch_size=2)
