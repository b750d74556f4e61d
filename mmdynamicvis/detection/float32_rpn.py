"""An RPN head for detectors trained in bfloat16."""

from __future__ import annotations

import torch
from mmdet.models import RPNHead
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class Float32RPNHead(RPNHead):
    """mmdet's ``RPNHead`` that returns float32 (or float64) outputs even under autocast.

    mmdet creates anchors in the dtype of the scores: in bfloat16, coordinates near 1000 px would be
    rounded by up to 2 px. Arguments and weights are those of ``RPNHead``.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores (B, A, H, W) and the offsets (B, 4 A, H, W) of a level's anchors."""
        scores, offsets = super().forward_single(x)
        dtype = torch.promote_types(scores.dtype, torch.float32)
        return scores.to(dtype), offsets.to(dtype)
