"""A feature pyramid for detectors trained in bfloat16."""

from __future__ import annotations

import torch
from mmdet.models import FPN
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class Float32FPN(FPN):
    """mmdet's ``FPN`` that returns float32 (or float64) maps even under autocast.

    mmcv's RoIAlign and RoIAlignRotated support only float32 and float16, and mmdet passes them the
    maps without a cast. Under autocast, the convolutions of the heads cast them back. Arguments and
    weights are those of ``FPN``.
    """

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return one map (B, C, H, W) per level, the finest first."""
        maps = super().forward(inputs)
        return tuple(x.to(torch.promote_types(x.dtype, torch.float32)) for x in maps)
