# Change detection with DynamicVis tiny on 11 pairs of LEVIR-CD at 256 px, from scratch, for small
# machines. Beside it, with all else equal: siamese_resnet18_1xb2-300i_levir-cd-256px.py.
# Paper: no number for this model. Ours: see README.md beside this file.
#   mim train mmdynamicvis siamese_dynamicvis-tiny_1xb2-300i_levir-cd-256px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_cd_samples_256px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/segmentation_runtime.py',
]

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, save_best='target/f1', rule='greater'),
)
auto_scale_lr = dict(base_batch_size=2)
