"""Oriented proposals in bfloat16 training."""

from __future__ import annotations

import torch
from mmrotate.models.dense_heads import OrientedRPNHead
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class Float32OrientedRPNHead(OrientedRPNHead):
    """mmrotate's ``OrientedRPNHead`` whose outputs are float32, or float64, under autocast too.

    mmdet makes anchors in the type of the scores: in bfloat16 they would be off by up to 2 px at a
    coordinate of 1000, and mmrotate's coder, which goes through numpy, has no bfloat16. Same
    arguments, same weights.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores (B, A, H, W) and the offsets (B, 6 A, H, W) of a level's anchors."""
        scores, offsets = super().forward_single(x)
        dtype = torch.promote_types(scores.dtype, torch.float32)
        return scores.to(dtype), offsets.to(dtype)
