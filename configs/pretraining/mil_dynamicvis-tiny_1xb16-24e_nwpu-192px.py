# Region pretraining of DynamicVis tiny on the boxes of NWPU VHR-10, for small machines.
# Paper: no number for this model. Ours: see README.md in this folder.
#   mim train mmdynamicvis mil_dynamicvis-tiny_1xb16-24e_nwpu-192px.py
_base_ = [
    '../_base_/models/mil_pretrainer_tiny.py',
    '../_base_/datasets/nwpu_regions_192px.py',
    '../_base_/schedules/adamw_cosine_pretraining.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(classes={{_base_.classes}}))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=24, val_interval=3)
auto_scale_lr = dict(base_batch_size=16)
