# DynamicVis base on AID without pretraining.
# Paper: F1 93.81. Ours: not reproduced.
#   mim train mmdynamicvis dynamicvis_base_1xb64-500e-scratch_aid-512px.py
_base_ = [
    '../_base_/models/dynamicvis_classifier.py',
    '../_base_/datasets/aid_512px.py',
    '../_base_/schedules/adamw_cosine_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=30))
