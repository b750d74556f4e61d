# DynamicVis tiny with a linear classifier, for images of 128 px on small machines.
_base_ = ['dynamicvis_classifier.py']

model = dict(
    backbone=dict(arch='tiny', published=False, img_size=128),
    head=dict(in_channels=384),
    # No label mixing, which helps only with long schedules and large models.
    train_cfg=None,
)
