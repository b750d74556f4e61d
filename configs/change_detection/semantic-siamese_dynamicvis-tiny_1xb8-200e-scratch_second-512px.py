# Semantic change detection with DynamicVis tiny on SECOND, from scratch, for small machines.
# Paper: no number for this model. Ours: not trained.
#   mim train mmdynamicvis semantic-siamese_dynamicvis-tiny_1xb8-200e-scratch_second-512px.py
_base_ = [
    '../_base_/models/semantic_siamese_tiny.py',
    '../_base_/datasets/second_512px.py',
    '../_base_/schedules/adamw_cosine_change.py',
    '../_base_/default_runtime.py',
]

model = dict(decode_head=dict(semantic=dict(num_classes=6)))
train_cfg = dict(max_epochs=200)
default_hooks = dict(checkpoint=dict(save_best=None))  # there are no pairs for validation
