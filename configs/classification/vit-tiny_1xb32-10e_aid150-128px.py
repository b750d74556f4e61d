# A vision transformer of mmpretrain with about the parameters of DynamicVis tiny, on a part of AID
# at 150 px, from scratch, for comparison with dynamicvis_tiny_1xb32-10e_aid150-128px.py, whose
# data, input, augmentation and epochs it shares.
# Ours: see README.md in this folder.
#   mim train mmdynamicvis vit-tiny_1xb32-10e_aid150-128px.py
_base_ = [
    '../_base_/models/resnet18_classifier.py',
    '../_base_/datasets/aid150_128px.py',
    '../_base_/schedules/adamw_cosine_10e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        # 12 layers of DeiT-Ti have 5.5 M parameters
        arch=dict(embed_dims=192, num_layers=5, num_heads=3, feedforward_channels=768),
        img_size=128,
        patch_size=8,
        out_type='avg_featmap',
    ),
    neck=None,
    head=dict(in_channels=192, num_classes=30),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))  # the better of 1e-3 and 5e-4
