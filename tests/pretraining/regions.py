"""Small region pretrainers and batches for the tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdynamicvis.registry import MODELS

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
CHANNELS = 12
N_CLASSES = 4
CONFIG = dict(
    type='mmdynamicvis.MILPretrainer',
    backbone=dict(
        type='mmdynamicvis.DynamicVis', arch=ARCH, img_size=64, selection_noise=None, init_cfg=None
    ),
    neck=dict(
        type='mmdet.FPN', in_channels=list(ARCH['embed_dims']), out_channels=CHANNELS, num_outs=5
    ),
    roi_extractor=dict(
        type='mmdet.GenericRoIExtractor',
        aggregation='sum',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
        out_channels=CHANNELS,
        featmap_strides=[4, 8, 16, 32],
        pre_cfg=dict(
            type='ConvModule',
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            kernel_size=5,
            padding=2,
            inplace=False,
        ),
        post_cfg=dict(
            type='GeneralizedAttention',
            in_channels=CHANNELS,
            spatial_range=-1,
            num_heads=2,
            attention_type='0100',
            kv_stride=2,
        ),
    ),
    head=dict(type='mmdynamicvis.MILHead', classes=tuple('abcd'), in_channels=CHANNELS),
)


def build(**head: object) -> nn.Module:
    """Build a model of a few thousand parameters, the same every time."""
    torch.manual_seed(0)
    return MODELS.build({**CONFIG, 'head': {**CONFIG['head'], **head}})


def batch(counts: Sequence[int], seed: int = 0) -> dict:
    """Return 64 px images with so many random boxes each."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for count in counts:
        corners = 40 * torch.rand(count, 2, generator=generator)
        sizes = 8 + 16 * torch.rand(count, 2, generator=generator)
        sample = DetDataSample()
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corners, corners + sizes], dim=1),
            labels=torch.randint(N_CLASSES, (count,), generator=generator),
        )
        samples.append(sample)
    images = torch.randn(len(counts), 3, 64, 64, generator=generator)
    return dict(inputs=images, data_samples=samples)
