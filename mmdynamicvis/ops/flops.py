"""Operation counts of the selective scan, for the counters of torch, fvcore and mmengine.

These counters know matrix products and convolutions, and skip unknown ops. For a scan,
multiply-accumulates (MAC) are counted. Per token, channel and state there are three: decay times
state, step times input, output map times state. The backward pass has ten: decay and input again,
two for the gradient of the state, one each for the gradients of input map, output map, input and
decay, and two from the latter to A and the step size.

The short convolution, the gate, norms and the selection are elementwise operations, which are not
counted.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.selective_scan import cpu, eager  # noqa: F401  they define the ops

FORWARD, BACKWARD = 3, 10
"""MAC per token, channel and state."""


@functools.cache
def register_formulas() -> None:
    """Make ``torch.utils.flop_counter.FlopCounterMode`` count the scan, with two FLOP per MAC.

    Counters created earlier are not affected. This need not be called if a
    :class:`~mmdynamicvis.DynamicVis` is built after importing the counter.
    """
    from torch.utils.flop_counter import flop_registry, register_flop_formula

    if triton_support.unavailable() is None:
        from mmdynamicvis.ops.selective_scan import triton  # noqa: F401  defines the op
    for name in ('eager', 'cpu', 'triton'):
        forward = getattr(torch.ops.mmdynamicvis, f'selective_scan_{name}', None)
        backward = getattr(torch.ops.mmdynamicvis, f'selective_scan_{name}_backward', None)
        if forward is not None:
            # the gradient of y comes first; fused kernels also have the states before x
            skipped = 1 if name == 'eager' else 2
            formulas = {
                forward: _forward_flop,
                backward: functools.partial(_backward_flop, skipped),
            }
            for packet, formula in formulas.items():
                register_flop_formula(packet)(formula)
                # torch 2.4 registers the overload alone, but looks up the packet
                if packet not in flop_registry:
                    flop_registry[packet] = flop_registry[packet.default]


def register_formulas_if_counted() -> None:
    """Register the formulas if the counter is already imported; its import may take a second."""
    if 'torch.utils.flop_counter' in sys.modules:
        register_formulas()


def _forward_flop(
    x_shape: Sequence[int], dt_shape: Sequence[int], A_shape: Sequence[int], *args, **kwargs
) -> int:
    return 2 * FORWARD * math.prod(x_shape) * A_shape[1]


def _backward_flop(skipped: int, *args, **kwargs) -> int:
    x_shape, _, A_shape = args[skipped : skipped + 3]
    return 2 * BACKWARD * math.prod(x_shape) * A_shape[1]


def _traced_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    x_shape, A_shape = (inputs[i].type().sizes() for i in (0, 2))
    return FORWARD * math.prod(x_shape) * A_shape[1]


JIT_HANDLES: dict[str, Callable[[Sequence[Any], Sequence[Any]], int]] = {
    f'mmdynamicvis::selective_scan_{name}': _traced_macs for name in ('eager', 'cpu', 'triton')
}
"""Handles for the counters of fvcore and mmengine, which trace a model and count MAC.

Use ``FlopCountAnalysis(model, images).set_op_handle(**JIT_HANDLES)``; ``FlopAnalyzer`` likewise.
"""
