"""Causal convolution in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, silu


def causal_conv1d(
    x_BLD: Tensor, weight_DW: Tensor, bias_D: Tensor | None, direction: str
) -> Tensor:
    """See :func:`mmdynamicvis.ops.causal_conv1d`."""
    wide = torch.promote_types(x_BLD.dtype, torch.float32)
    length, reach = x_BLD.shape[1], weight_DW.shape[1] - 1
    padded = pad(x_BLD.to(wide), (0, 0, reach, reach))
    weights = weight_DW.t().to(wide)
    bias = padded.new_zeros(()) if bias_D is None else bias_D.to(wide)

    def convolve(step: int) -> Tensor:
        y_BLD = bias
        for i, weight_D in enumerate(weights):
            start = reach + step * (reach - i)
            y_BLD = torch.addcmul(y_BLD, padded[:, start : start + length], weight_D)
        return silu(y_BLD).to(x_BLD.dtype)

    if direction == 'both':
        return torch.stack([convolve(-1), convolve(1)])
    return convolve(1 if direction == 'reverse' else -1)
