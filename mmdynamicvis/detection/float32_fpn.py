"""A feature pyramid for detectors in bfloat16."""

from __future__ import annotations

import torch
from mmdet.models import FPN
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class Float32FPN(FPN):
    """mmdet's ``FPN`` whose maps are float32, or float64, under autocast too.

    mmcv pools regions (RoIAlign, RoIAlignRotated) in float32 and float16 only, and mmdet hands it
    the maps as they are. Convolutions of the heads cast them back. Same arguments, same weights.
    """

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the maps (B, C, H, W), one per level, the finest first."""
        maps = super().forward(inputs)
        return tuple(x.to(torch.promote_types(x.dtype, torch.float32)) for x in maps)
