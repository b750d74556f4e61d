"""Causal convolution by the CUDA kernel of causal-conv1d, the companion of mamba-ssm.

That kernel convolves forward, with the channels before the tokens; see selective_scan/mamba_ssm.py.
"""

from __future__ import annotations

import torch
from causal_conv1d import causal_conv1d_fn
from torch import Tensor


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, direction: str) -> Tensor:
    """See :func:`mmdynamicvis.ops.causal_conv1d`."""
    if direction == 'both':
        return torch.stack(
            [causal_conv1d(x, weight, bias, one_way) for one_way in ('forward', 'reverse')]
        )
    reverse = direction == 'reverse'
    x_BDL = (x.flip(1) if reverse else x).transpose(1, 2)
    if any(n % 8 for n in (x.shape[2], *x.stride()[:2])):  # tokens first need eights
        x_BDL = x_BDL.contiguous()
    bias = None if bias is None else bias.to(x.dtype)
    y_BLD = causal_conv1d_fn(x_BDL, weight.to(x.dtype), bias, activation='silu').transpose(1, 2)
    return y_BLD.flip(1) if reverse else y_BLD
