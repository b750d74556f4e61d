"""Scan of Mamba-2 by state-space duality (SSD, arXiv 2405.21060), in one or in both directions."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.dispatch import Backend, check_device, choose
from mmdynamicvis.ops.scans import Direction, check_shapes, check_tokens, too_many_states
from mmdynamicvis.ops.ssd_scan import cpu, eager, naive


def _triton(*args: Any) -> Tensor:
    from mmdynamicvis.ops.ssd_scan import triton

    return triton.ssd_scan(*args)


def _triton_unsupported(*tensors: Tensor) -> str | None:
    # a program holds a tile of all states
    return too_many_states(tensors[3]) or triton_support.unsupported(*tensors)


BACKENDS = (
    triton_support.backend(_triton, _triton_unsupported),
    Backend('cpu', cpu.ssd_scan, library.unavailable, cpu.unsupported),
    Backend('eager', eager.ssd_scan),
    Backend('naive', naive.ssd_scan),
)

__all__ = ['BACKENDS', 'ssd_scan']


def ssd_scan(
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
    """Scan a sequence with a state-space model that has one decay per head and token.

    The D channels are H heads of P, in order. For every head, with a state h (N, P) that is 0
    before the first token::

        dt_t = softplus(dt_t + dt_bias)
        h_t  = exp(dt_t A) h_{t-1} + dt_t B_t x_t^T
        y_t  = (C_t h_t + D x_t) * silu(z_t)

    In reverse, t - 1 becomes t + 1. B and C are shared by all heads. The state is kept in float32
    (float64 for float64 inputs).

    Shapes; K = 2 directions, forward first, lead if ``direction='both'``, else there is no K:

    ======= ============== =========================================================
    x       (K, B, L, D)   tokens, after the causal convolution of their direction
    dt      (B, L, H)      step sizes, before bias and softplus, of both directions
    A       (H)            negative: the rate at which the state decays
    B, C    (K, B, L, N)   input and output maps of the state
    D       (H)            skip connection
    z       (B, L, D)      gate, shared by both directions
    dt_bias (H)
    ======= ============== =========================================================

    Args:
        dt_softplus: Apply softplus to ``dt``.
        direction: 'forward', 'reverse' or 'both'.
        average: Average both directions (for 'both' only).
        backend: 'auto', 'triton', 'cpu', 'eager' or 'naive' (the float64 oracle, for tests).

    Returns:
        y in the dtype of x: (K, B, L, D), or (B, L, D) if averaged.

    Raises:
        ValueError: A shape, the direction or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    _check(x, dt, A, B, C, D, z, dt_bias, direction, average)
    check_device('ssd_scan', x, dt, A, B, C, D, z, dt_bias)
    function = choose('ssd_scan', BACKENDS, backend, x, dt, A, B, C)
    return function(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)


def _check(x, dt, A, B, C, D, z, dt_bias, direction, average) -> None:
    check_tokens(x, direction, average)
    if A.dim() != 1 or len(A) < 1 or x.shape[-1] % len(A):
        raise ValueError(
            f'A has shape {tuple(A.shape)}; x needs (H,), heads that divide its {x.shape[-1]} '
            'channels'
        )
    if B.dim() != x.dim():
        expected = ', '.join(map(str, x.shape[:-1]))
        raise ValueError(f'B has shape {tuple(B.shape)}; x needs ({expected}, N)')
    per_state = *x.shape[:-1], B.shape[-1]
    check_shapes(
        {
            'dt': (dt, (*x.shape[-3:-1], len(A))),
            'B': (B, per_state),
            'C': (C, per_state),
            'D': (D, A.shape),
            'z': (z, x.shape[-3:]),
            'dt_bias': (dt_bias, A.shape),
        }
    )
