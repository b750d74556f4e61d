"""Small models of the hosts with random weights: their configs and checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis.models.weights import save_weights

WIDTHS = [16, 16, 32, 32]
BACKBONE = dict(
    type='mmdynamicvis.DynamicVis', arch=dict(embed_dims=WIDTHS, depths=[1, 1, 1, 1]), img_size=64
)
NORM = dict(mean=[120.0, 110.0, 100.0], std=[58.0, 57.0, 56.0])
LAST = dict(type='Normal', std=0.5, override=dict(name='conv_seg'))
FPN = dict(type='mmseg.FPN', in_channels=WIDTHS, out_channels=16)

CLASSIFIER = dict(
    default_scope='mmpretrain',
    model=dict(
        type='ImageClassifier',
        backbone=dict(BACKBONE, out_type='avg_featmap'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
    ),
    data_preprocessor=dict(NORM, to_rgb=True, num_classes=5),
    test_dataloader=dict(
        dataset=dict(type='CustomDataset', metainfo=dict(classes=['a', 'b', 'c', 'd', 'e']))
    ),
)
SEGMENTOR = dict(
    default_scope='mmseg',
    model=dict(
        type='EncoderDecoder',
        backbone=BACKBONE,
        neck=dict(FPN, num_outs=4),
        decode_head=dict(
            type='UPerHead',
            in_channels=[16] * 4,
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=3,
            init_cfg=LAST,
            loss_decode=dict(type='CrossEntropyLoss'),
        ),
        test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)),
    ),
    data_preprocessor=dict(NORM, type='SegDataPreProcessor', bgr_to_rgb=True, size=(64, 64)),
    test_dataloader=dict(
        dataset=dict(
            type='BaseSegDataset',
            metainfo=dict(classes=['water', 'field', 'road']),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')],
        )
    ),
)
CHANGE = dict(
    default_scope='mmseg',
    model=dict(
        type='mmdynamicvis.SiameseEncoderDecoder',
        backbone=BACKBONE,
        neck=dict(
            type='mmdynamicvis.PairNeck',
            fpn=dict(FPN, num_outs=5),
            fusion=dict(type='mmdynamicvis.PairFusion', channels=16, num_levels=5),
            decoder=dict(type='mmdynamicvis.UNetDecoder', in_channels=[16] * 5, num_convs=1),
        ),
        decode_head=dict(
            type='SegformerHead',
            in_channels=[16] * 5,
            in_index=[0, 1, 2, 3, 4],
            channels=16,
            num_classes=2,
            init_cfg=LAST,
            loss_decode=dict(type='CrossEntropyLoss'),
        ),
        test_cfg=dict(mode='whole'),
    ),
    data_preprocessor=dict(
        NORM,
        type='mmdynamicvis.BandsDataPreprocessor',
        num_dates=2,
        bgr_to_rgb=True,
        test_cfg=dict(size_divisor=32),
    ),
    test_dataloader=dict(
        dataset=dict(
            type='mmdynamicvis.ChangeDataset',
            pipeline=[dict(type='mmdynamicvis.LoadPair'), dict(type='PackSegInputs')],
        )
    ),
)
FCOS = dict(
    default_scope='mmdet',
    model=dict(
        type='FCOS',
        backbone=BACKBONE,
        neck=dict(type='FPN', in_channels=WIDTHS, out_channels=16, num_outs=5),
        bbox_head=dict(
            type='FCOSHead',
            num_classes=3,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            strides=[4, 8, 16, 32, 64],
            norm_on_bbox=True,
            centerness_on_reg=True,
            norm_cfg=None,
            init_cfg=dict(type='Normal', layer='Conv2d', std=0.1),
        ),
        test_cfg=dict(
            nms_pre=1000,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.6),
            max_per_img=100,
        ),
    ),
    data_preprocessor=dict(NORM, type='DetDataPreprocessor', bgr_to_rgb=True, pad_size_divisor=32),
    test_dataloader=dict(
        dataset=dict(
            type='CocoDataset',
            metainfo=dict(classes=('ship', 'plane', 'tank')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackDetInputs')],
        )
    ),
)


def made(settings: dict | Config, folder: Path) -> tuple[Path, Path]:
    """Write a config and random weights of its model; return their paths."""
    cfg = settings if isinstance(settings, Config) else Config(settings)
    init_default_scope(cfg.default_scope)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        for part in ('backbone', 'decode_head', 'bbox_head'):
            if hasattr(model, part):
                getattr(model, part).init_weights()
        # so that scores of tokens differ by more than rounding does
        for unit in (unit for stage in model.backbone.stages for unit in stage.units):
            torch.nn.init.normal_(unit.scorer.weight)
    config, weights = folder / 'config.py', folder / 'weights.safetensors'
    cfg.dump(config)
    save_weights(model.state_dict(), weights)
    return config, weights


def images(number: int, height: int, width: int, bands: int = 3) -> torch.Tensor:
    """Return smooth images (number, bands, height, width) in [0, 255], whole numbers."""
    coarse = torch.rand(number, bands, 6, 6, generator=torch.Generator().manual_seed(7))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic')
    return (255 * smooth.clamp(0, 1)).round()
