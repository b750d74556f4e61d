"""Registration of kernels that do a causal convolution: a forward and a backward function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops import direct

_INPUTS = 'Tensor x, Tensor weight, Tensor? bias, str direction'


def register(
    name: str, forward: Callable[..., Tensor], backward: Callable[..., list[Tensor]]
) -> Callable[..., Tensor]:
    """Register a causal convolution as the op ``mmdynamicvis::causal_conv1d_<name>``.

    Args:
        name: Of the backend.
        forward: Takes the arguments of :func:`mmdynamicvis.ops.causal_conv1d` but for the backend,
            in their order, and returns y.
        backward: Takes the gradient of y, then the arguments of ``forward``. Returns the gradients
            of x, weight and bias, each of its input's shape and dtype, and an empty tensor for a
            bias that is None.
    """
    op = torch.library.custom_op(
        f'mmdynamicvis::causal_conv1d_{name}',
        forward,
        mutates_args=(),
        schema=f'({_INPUTS}) -> Tensor',
    )
    op_backward = torch.library.custom_op(
        f'mmdynamicvis::causal_conv1d_{name}_backward',
        backward,
        mutates_args=(),
        schema=f'(Tensor dy, {_INPUTS}) -> Tensor[]',
    )

    @op.register_fake
    def _(x, weight, bias, direction):
        return x.new_empty((2, *x.shape) if direction == 'both' else x.shape)

    @op_backward.register_fake
    def _(dy, x, weight, bias, direction):
        return [
            x.new_empty(x.shape),
            weight.new_empty(weight.shape),
            x.new_empty(0) if bias is None else bias.new_empty(bias.shape),
        ]

    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        *tensors, ctx.direction = inputs
        ctx.save_for_backward(*tensors)

    def op_autograd(ctx: Any, dy: Tensor) -> tuple:
        x, weight, bias = ctx.saved_tensors
        dx, dweight, dbias = op_backward(dy, x, weight, bias, ctx.direction)
        return dx, dweight, None if bias is None else dbias, None

    op.register_autograd(op_autograd, setup_context=setup_context)

    def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, direction: str) -> Tensor:
        function = forward if direct.may_call(x, weight, bias) else op
        return function(x, weight, bias, direction)

    return causal_conv1d
