# DINO for images of 256 px on small machines: DynamicVis tiny, maps from stride 4 on, 64 channels,
# two layers each in encoder and decoder, 100 queries.
_base_ = ['dino.py']

model = dict(
    num_queries=100,
    backbone=dict(arch='tiny', published=False, img_size=256, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=64),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=256),
        ),
    ),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            cross_attn_cfg=dict(embed_dims=64),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=256),
        ),
    ),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(embed_dims=64),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=40)),
    test_cfg=dict(max_per_img=100),
)
