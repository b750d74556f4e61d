"""Selective scan of Mamba-1 (arXiv 2312.00752, algorithm 2), in one or in both directions."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mmdynamicvis.ops import mamba_support, triton_support
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.dispatch import Backend, check_device, choose
from mmdynamicvis.ops.selective_scan import cpu, eager, naive

Direction = Literal['forward', 'reverse', 'both']


def _triton(*args: Any) -> Tensor:
    from mmdynamicvis.ops.selective_scan import triton

    return triton.selective_scan(*args)


def _triton_unsupported(*tensors: Tensor) -> str | None:
    # a lane holds all states of its channel, beside their rates
    return cpu.too_many_states(tensors[2]) or triton_support.unsupported(*tensors)


def _mamba_ssm(*args: Any) -> Tensor:
    from mmdynamicvis.ops.selective_scan import mamba_ssm

    return mamba_ssm.selective_scan(*args)


BACKENDS = (
    triton_support.backend(_triton, _triton_unsupported),
    mamba_support.backend(_mamba_ssm),
    Backend('cpu', cpu.selective_scan, library.unavailable, cpu.unsupported),
    Backend('eager', eager.selective_scan),
    Backend('naive', naive.selective_scan),
)

__all__ = ['BACKENDS', 'Direction', 'selective_scan']


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    direction: Direction = 'forward',
    average: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Scan a sequence with an input-dependent diagonal state-space model.

    For every channel, with h = 0 before the first token::

        dt_t = softplus(dt_t + dt_bias)
        h_t  = exp(dt_t A) h_{t-1} + dt_t B_t x_t
        y_t  = (C_t h_t + D x_t) * silu(z_t)

    In reverse, t - 1 becomes t + 1. The state is kept in float32 (float64 for float64 inputs).

    Shapes; K = 2 directions, forward first, lead if ``direction='both'``, else there is no K:

    ======= ============== =========================================================
    x       (K, B, L, D)   tokens, after the causal convolution of their direction
    dt      (K, B, L, D)   step sizes, before bias and softplus
    A       (D, N)         negative: the rate at which the state decays
    B, C    (K, B, L, N)   input and output maps of the state
    D       (D)            skip connection
    z       (B, L, D)      gate, shared by both directions
    dt_bias (D)
    ======= ============== =========================================================

    Args:
        dt_softplus: Apply softplus to ``dt``.
        direction: 'forward', 'reverse' or 'both'.
        average: Average both directions (for 'both' only).
        backend: 'auto', 'triton', 'mamba_ssm', 'cpu', 'eager' or 'naive' (the float64 oracle,
            for tests).

    Returns:
        y in the dtype of x: (K, B, L, D), or (B, L, D) if averaged.

    Raises:
        ValueError: A shape, the direction or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    _check(x, dt, A, B, C, D, z, dt_bias, direction, average)
    check_device('selective_scan', x, dt, A, B, C, D, z, dt_bias)
    function = choose('selective_scan', BACKENDS, backend, x, dt, A, B, C)
    return function(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)


def _check(x, dt, A, B, C, D, z, dt_bias, direction, average) -> None:
    if direction not in get_args(Direction):
        raise ValueError(f'direction is {direction!r}; choose one of {get_args(Direction)}')
    if average and direction != 'both':
        raise ValueError(f"average=True needs direction='both', not {direction!r}")
    n_dim = 4 if direction == 'both' else 3
    if x.dim() != n_dim or (direction == 'both' and x.shape[0] != 2):
        expected = '(2, B, L, D)' if direction == 'both' else '(B, L, D)'
        raise ValueError(f'x has shape {tuple(x.shape)}; direction={direction!r} needs {expected}')
    if A.dim() != 2 or A.shape[0] != x.shape[-1]:
        raise ValueError(f'A has shape {tuple(A.shape)}; x needs ({x.shape[-1]}, N)')
    per_state = torch.Size((*x.shape[:-1], A.shape[1]))
    per_channel = x.shape[-1:]
    for name, tensor, shape in (
        ('dt', dt, x.shape),
        ('B', B, per_state),
        ('C', C, per_state),
        ('D', D, per_channel),
        ('z', z, x.shape[-3:]),
        ('dt_bias', dt_bias, per_channel),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f'{name} has shape {tuple(tensor.shape)}; x and A need {tuple(shape)}')
