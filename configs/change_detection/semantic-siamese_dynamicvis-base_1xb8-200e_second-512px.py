# Semantic change detection with DynamicVis base on SECOND.
# Backbone and FPN start from the pretraining on fMoW.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis semantic-siamese_dynamicvis-base_1xb8-200e_second-512px.py
# with the weights in checkpoints/ (see README.md in this folder).
_base_ = [
    '../_base_/models/semantic_siamese_base_fmow.py',
    '../_base_/datasets/second_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(decode_head=dict(semantic=dict(num_classes=6)))
train_cfg = dict(max_epochs=200)
default_hooks = dict(checkpoint=dict(save_best=None))  # there are no pairs for validation
