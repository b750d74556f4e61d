"""Registration of kernels that do a whole selective scan: a forward and a backward function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops import direct

_INPUTS = (
    'Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? dt_bias, '
    'bool dt_softplus, str direction, bool average'
)
_TENSORS = 8  # x to dt_bias


def register(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor]],
    backward: Callable[..., list[Tensor]],
    chunk: Callable[[int, int, int], int],
) -> Callable[..., Tensor]:
    """Register a selective scan as the op ``mmdynamicvis::selective_scan_<name>``.

    Args:
        name: Of the backend.
        forward: Takes the arguments of :func:`mmdynamicvis.ops.selective_scan` but for the backend,
            in their order. Returns y, and the state with which each chunk of tokens is entered, in
            scan order of its direction: (ceil(L / chunk), K * B, N, D) in float32.
        backward: Takes the gradient of y, these states, then the arguments of ``forward``. Returns
            the gradients of x, dt, A, B, C, D, z and dt_bias, each of its input's shape and dtype,
            and an empty tensor for an input that is None.
        chunk: Takes K * B, L and D; returns the tokens per chunk.

    Returns:
        A function of the arguments of ``forward`` that returns y.
    """
    op = torch.library.custom_op(
        f'mmdynamicvis::selective_scan_{name}',
        forward,
        mutates_args=(),
        schema=f'({_INPUTS}) -> (Tensor, Tensor)',
    )
    op_backward = torch.library.custom_op(
        f'mmdynamicvis::selective_scan_{name}_backward',
        backward,
        mutates_args=(),
        schema=f'(Tensor dy, Tensor states, {_INPUTS}) -> Tensor[]',
    )

    @op.register_fake
    def _(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
        length, n_channels = x.shape[-2:]
        n_rows = x.shape[0] * x.shape[1] if direction == 'both' else x.shape[0]
        per_chunk = chunk(n_rows, length, n_channels)
        n_chunks = (length + per_chunk - 1) // per_chunk
        y = x.new_empty(x.shape[1:] if average else x.shape)
        return y, x.new_empty(n_chunks, n_rows, A.shape[1], n_channels, dtype=torch.float32)

    @op_backward.register_fake
    def _(dy, states, *inputs):
        return [dy.new_empty(0) if x is None else x.new_empty(x.shape) for x in inputs[:_TENSORS]]

    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.save_for_backward(*inputs[:_TENSORS], output[1])
        ctx.options = inputs[_TENSORS:]
        ctx.set_materialize_grads(False)  # the states have none

    def op_autograd(ctx: Any, dy: Tensor, _: Tensor) -> tuple:
        *inputs, states = ctx.saved_tensors
        grads = op_backward(dy, states, *inputs, *ctx.options)
        present = (None if x is None else grad for x, grad in zip(inputs, grads, strict=True))
        return *present, None, None, None

    op.register_autograd(op_autograd, setup_context=setup_context)

    def selective_scan(*args: Any) -> Tensor:
        function = forward if direct.may_call(*args[:_TENSORS]) else op
        return function(*args)[0]

    return selective_scan
