"""An oriented RPN head for detectors trained in bfloat16."""

from __future__ import annotations

import torch
from mmrotate.models.dense_heads import OrientedRPNHead
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class Float32OrientedRPNHead(OrientedRPNHead):
    """mmrotate's ``OrientedRPNHead`` that returns float32 (or float64) outputs even under autocast.

    mmdet creates anchors in the dtype of the scores: in bfloat16, coordinates near 1000 px would be
    rounded by up to 2 px. Also, mmrotate's coder uses numpy, which has no bfloat16. Arguments and
    weights are those of ``OrientedRPNHead``.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores (B, A, H, W) and the offsets (B, 6 A, H, W) of a level's anchors."""
        scores, offsets = super().forward_single(x)
        dtype = torch.promote_types(scores.dtype, torch.float32)
        return scores.to(dtype), offsets.to(dtype)
