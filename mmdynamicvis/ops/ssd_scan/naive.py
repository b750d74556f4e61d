"""The definition of the SSD scan, token by token in float64: the oracle of the tests."""

from __future__ import annotations

import torch
from torch import Tensor


def ssd_scan(
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
    """See :func:`mmdynamicvis.ops.ssd_scan`."""
    if direction == 'both':
        y = torch.stack(
            [
                ssd_scan(x[k], dt, A, B[k], C[k], D, z, dt_bias, dt_softplus, one_way, False)
                for k, one_way in enumerate(('forward', 'reverse'))
            ]
        )
        return y.mean(0) if average else y
    dtype = x.dtype
    x, dt, A, B, C = (tensor.double() for tensor in (x, dt, A, B, C))
    if dt_bias is not None:
        dt = dt + dt_bias.double()
    if dt_softplus:
        dt = torch.log1p(torch.exp(-dt.abs())) + dt.clamp_min(0)
    x = x.unflatten(-1, (len(A), -1))
    h = x.new_zeros(*x.shape[:1], *x.shape[2:], B.shape[-1])  # (B, H, P, N)
    length = x.shape[1]
    y = [h] * length
    for t in range(length - 1, -1, -1) if direction == 'reverse' else range(length):
        u_t = dt[:, t, :, None] * x[:, t]
        h = torch.exp(dt[:, t] * A)[..., None, None] * h + u_t[..., None] * B[:, t, None, None]
        y[t] = (h * C[:, t, None, None]).sum(-1)
    y = torch.stack(y, dim=1)
    if D is not None:
        y = y + D.double()[:, None] * x
    y = y.flatten(-2)
    if z is not None:
        y = y * z.double() * torch.sigmoid(z.double())
    return y.to(dtype)
