# Mask-based change detection, the idea of CDMask: mmseg's Mask2Former head on the fused features of
# two dates, DynamicVis tiny, on 14 pairs of LEVIR-CD and SZTAKI AirChange in crops of 128 px, from
# scratch, for small machines. Each query predicts a mask and its class, unchanged, changed or none.
# Needs mmdet. Pairs are tested whole, because the head cannot predict sliding windows. In its loss,
# ignored pixels are outside of all masks.
# Paper: no number for this model. Ours: not measured.
#   mim train mmdynamicvis siamese-mask2former_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py
_base_ = [
    '../_base_/models/siamese_tiny.py',
    '../_base_/datasets/levir_sztaki_128px.py',
    '../_base_/schedules/adamw_cosine_300i.py',
    '../_base_/default_runtime.py',
]

attention = dict(embed_dims=64, num_heads=4, dropout=0.0, batch_first=True)
feed_forward = dict(embed_dims=64, feedforward_channels=256, num_fcs=2, ffn_drop=0.0)
position = dict(num_feats=32, normalize=True)
model = dict(
    backbone=dict(img_size=128),
    neck=dict(
        fpn=dict(num_outs=4),
        fusion=dict(num_levels=4),
        decoder=None,  # the head has one
    ),
    decode_head=dict(
        _delete_=True,
        type='mmseg.Mask2FormerHead',
        in_channels=[64] * 4,
        strides=[4, 8, 16, 32],
        feat_channels=64,
        out_channels=64,
        num_classes=2,
        num_queries=10,
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type='mmdet.MSDeformAttnPixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=16),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=dict(attention, num_levels=3, num_points=4),
                    ffn_cfg=feed_forward,
                ),
            ),
            positional_encoding=position,
        ),
        positional_encoding=position,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=3,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feed_forward),
        ),
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            class_weight=[1.0, 1.0, 0.1],
        ),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0),
        loss_dice=dict(
            type='mmdet.DiceLoss',
            use_sigmoid=True,
            activate=True,
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
        train_cfg=dict(
            num_points=2048,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='mmdet.HungarianAssigner',
                match_costs=[
                    dict(type='mmdet.ClassificationCost', weight=2.0),
                    dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type='mmdet.MaskPseudoSampler'),
        ),
    ),
)
default_hooks = dict(checkpoint=dict(save_best='target/f1', rule='greater'))
