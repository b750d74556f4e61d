"""The short causal depthwise convolution of Mamba, with SiLU, in one or in both directions."""

from __future__ import annotations

from typing import Any, get_args

from torch import Tensor

from mmdynamicvis.ops import mamba_support, triton_support
from mmdynamicvis.ops.causal_conv1d import cpu, eager, naive
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.dispatch import Backend, check_device, choose
from mmdynamicvis.ops.selective_scan import Direction


def _triton(*args: Any) -> Tensor:
    from mmdynamicvis.ops.causal_conv1d import triton

    return triton.causal_conv1d(*args)


def _mamba_ssm(*args: Any) -> Tensor:
    from mmdynamicvis.ops.causal_conv1d import mamba_ssm

    return mamba_ssm.causal_conv1d(*args)


def _mamba_ssm_unsupported(x: Tensor, weight: Tensor) -> str | None:
    if weight.shape[1] not in (2, 3, 4):
        return f'the kernel is {weight.shape[1]} tokens wide; causal-conv1d has 2, 3 and 4'
    return mamba_support.unsupported(x, weight)


BACKENDS = (
    triton_support.backend(_triton),
    mamba_support.backend(_mamba_ssm, _mamba_ssm_unsupported),
    Backend('cpu', cpu.causal_conv1d, library.unavailable, cpu.unsupported),
    Backend('eager', eager.causal_conv1d),
    Backend('naive', naive.causal_conv1d),
)

__all__ = ['BACKENDS', 'causal_conv1d']


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    direction: Direction = 'forward',
    backend: str = 'auto',
) -> Tensor:
    """Convolve every channel with its own short kernel over the tokens before, then apply SiLU.

    With zeros before the first token::

        y_t = silu(bias + sum_i weight_i x_{t - W + 1 + i}),  i = 0 ... W - 1

    In reverse, the sum runs over the tokens after: t + W - 1 - i.

    ====== ========= ======================
    x      (B, L, D) tokens
    weight (D, W)    a kernel per channel
    bias   (D)
    ====== ========= ======================

    Args:
        direction: 'forward', 'reverse' or 'both'.
        backend: 'auto', 'triton', 'mamba_ssm', 'cpu', 'eager' or 'naive' (the float64 oracle,
            for tests).

    Returns:
        y in the dtype of x: (B, L, D), or (2, B, L, D) for both directions, forward first.

    Raises:
        ValueError: A shape, the direction or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    if direction not in get_args(Direction):
        raise ValueError(f'direction is {direction!r}; choose one of {get_args(Direction)}')
    if x.dim() != 3:
        raise ValueError(f'x has shape {tuple(x.shape)}; need (B, L, D)')
    if weight.dim() != 2 or weight.shape[0] != x.shape[2]:
        raise ValueError(f'weight has shape {tuple(weight.shape)}; x needs ({x.shape[2]}, W)')
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f'bias has shape {tuple(bias.shape)}; x needs ({x.shape[2]},)')
    check_device('causal_conv1d', x, weight, bias)
    function = choose('causal_conv1d', BACKENDS, backend, x, weight)
    return function(x, weight, bias, direction)
