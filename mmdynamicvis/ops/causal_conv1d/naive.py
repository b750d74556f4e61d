"""The definition of the causal convolution, token by token in float64: the oracle of the tests."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, direction: str) -> Tensor:
    """See :func:`mmdynamicvis.ops.causal_conv1d`."""
    if direction == 'both':
        return torch.stack(
            [causal_conv1d(x, weight, bias, one_way) for one_way in ('forward', 'reverse')]
        )
    dtype, length, width = x.dtype, x.shape[1], weight.shape[1]
    x, weight = x.double(), weight.double()
    tokens = []
    for t in range(length):
        y = torch.zeros_like(x[:, 0]) if bias is None else bias.double().expand_as(x[:, 0])
        for i in range(width):
            source = t + (width - 1 - i) * (1 if direction == 'reverse' else -1)
            if 0 <= source < length:
                y = y + weight[:, i] * x[:, source]
        tokens.append(y * torch.sigmoid(y))
    return torch.stack(tokens, dim=1).to(dtype)
