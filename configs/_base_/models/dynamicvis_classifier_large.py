# DynamicVis large with a linear classifier.
_base_ = ['dynamicvis_classifier.py']

model = dict(backbone=dict(arch='large'), head=dict(in_channels=1024))
