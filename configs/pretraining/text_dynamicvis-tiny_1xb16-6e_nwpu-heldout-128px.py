# Region pretraining of DynamicVis tiny aligned with text, on the boxes of half of the categories of
# NWPU VHR-10; the other half is held out, and named by its text alone.
# Paper: no number. Ours: see README.md in this folder.
#   python tools/text_meta_embeddings.py data/nwpu_text.safetensors --no-projection \
#       --classes data/nwpu_vhr10/annotations/NWPU_instances_train.json \
#       --model ViT-B-32 --weights RemoteCLIP-ViT-B-32.pt
#   mim train mmdynamicvis text_dynamicvis-tiny_1xb16-6e_nwpu-heldout-128px.py
_base_ = [
    '../_base_/models/mil_pretrainer_tiny.py',
    '../_base_/datasets/nwpu_heldout_128px.py',
    '../_base_/schedules/adamw_cosine_pretraining.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(img_size=128),
    head=dict(
        _delete_=True,
        type='mmdynamicvis.TextHead',
        classes={{_base_.classes}},
        text_embeddings='data/nwpu_text.safetensors',
        in_channels=64,
        held_out={{_base_.held_out}},
    ),
    # its loss would teach the selection to leave out the objects that have no boxes here
    selection_weight=0.0,
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=6, val_interval=6)
# the last checkpoint: one chosen by held-out categories would have seen them
default_hooks = dict(checkpoint=dict(save_best=None))
auto_scale_lr = dict(base_batch_size=16)
