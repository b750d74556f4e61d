"""Selective scan by the CUDA kernel of mamba-ssm.

That kernel scans forward, with the channels before the tokens: the tensors are transposed, and
those of the reverse direction flipped, on the way in and out. torch.compile breaks its graph here.
"""

from __future__ import annotations

import torch
from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
from torch import Tensor
from torch.nn.functional import silu


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    direction: str,
    average: bool,
) -> Tensor:
    """See :func:`mmdynamicvis.ops.selective_scan`."""
    dtype = x.dtype
    with torch.autocast(x.device.type, enabled=False):
        y = selective_scan_fn(
            *(_to_kernel(tensor.to(dtype), direction) for tensor in (x, dt)),
            A.float(),
            *(_to_kernel(tensor.to(dtype), direction) for tensor in (B, C)),
            D=None if D is None else D.float(),
            delta_bias=None if dt_bias is None else dt_bias.float(),
            delta_softplus=dt_softplus,
        )
        y = _from_kernel(y, direction)
        if average:
            y = y.float().mean(0)
        # The kernel's own gate would come before the average.
        return (y if z is None else y * silu(z.float())).to(dtype)


def _to_kernel(x: Tensor, direction: str) -> Tensor:
    """(K, B, L, D) -> (K * B, D, L), in scan order."""
    if direction == 'both':
        x = torch.cat([x[0], x[1].flip(1)])
    elif direction == 'reverse':
        x = x.flip(1)
    return x.transpose(1, 2).contiguous()


def _from_kernel(y: Tensor, direction: str) -> Tensor:
    """(K * B, D, L), in scan order -> (K, B, L, D)."""
    y = y.transpose(1, 2)
    if direction == 'both':
        forward, reverse = y.chunk(2)
        return torch.stack([forward, reverse.flip(1)])
    return y.flip(1) if direction == 'reverse' else y
