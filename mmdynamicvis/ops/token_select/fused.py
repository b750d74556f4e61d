"""Registration of kernels that select or update tokens: a forward and a backward function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_UPDATE_OPTIONS = 'Tensor importance, bool update_unselected'


def register_select(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]],
    backward: Callable[..., tuple[Tensor, Tensor]],
) -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """Register a selection as the op ``mmdynamicvis::token_select_<name>``.

    Args:
        name: Of the backend.
        forward: Takes tokens, weight, k, noise or None, and the width of the grid, 0 for no grid.
            Returns selected tokens, indices, importance and row means, these (B, 0, C) without a
            grid; all contiguous.
        backward: Takes the gradients of selected tokens, importance and row means, each None if
            there is none; then tokens, weight, indices, importance and width. Returns the gradients
            of tokens and weight; what the latter is does not matter without one of importance.

    Returns:
        A function of the arguments of :func:`mmdynamicvis.ops.token_select` but for the backend.
    """
    op = torch.library.custom_op(
        f'mmdynamicvis::token_select_{name}',
        forward,
        mutates_args=(),
        schema='(Tensor tokens, Tensor weight, SymInt k, Tensor? noise, SymInt width) '
        '-> (Tensor, Tensor, Tensor, Tensor)',
    )
    op_backward = torch.library.custom_op(
        f'mmdynamicvis::token_select_{name}_backward',
        backward,
        mutates_args=(),
        schema='(Tensor? d_selected, Tensor? d_importance, Tensor? d_row_means, Tensor tokens, '
        'Tensor weight, Tensor indices, Tensor importance, SymInt width) -> (Tensor, Tensor)',
    )

    @op.register_fake
    def _(tokens, weight, k, noise, width):
        n_batch, length, n_channels = tokens.shape
        return (
            tokens.new_empty(n_batch, k, n_channels),
            tokens.new_empty(n_batch, k, dtype=torch.int64),
            tokens.new_empty(n_batch, length, dtype=torch.float32),
            tokens.new_empty(n_batch, length // width if width else 0, n_channels),
        )

    @op_backward.register_fake
    def _(d_selected, d_importance, d_row_means, tokens, weight, indices, importance, width):
        return tokens.new_empty(tokens.shape), weight.new_empty(weight.shape)

    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        tokens, weight, _, _, ctx.width = inputs
        _, indices, importance, _ = output
        ctx.save_for_backward(tokens, weight, indices, importance)
        ctx.set_materialize_grads(False)

    def op_autograd(ctx: Any, d_selected, _, d_importance, d_row_means) -> tuple:
        d_row_means = d_row_means if ctx.width else None
        d_tokens, d_weight = op_backward(
            d_selected, d_importance, d_row_means, *ctx.saved_tensors, ctx.width
        )
        # the choice has no gradient
        return d_tokens, None if d_importance is None else d_weight, None, None, None

    op.register_autograd(op_autograd, setup_context=setup_context)

    def token_select(
        tokens: Tensor,
        weight: Tensor,
        k: int,
        noise: Tensor | None,
        grid: tuple[int, int] | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        *chosen, row_means = op(tokens, weight, k, noise, 0 if grid is None else grid[1])
        return *chosen, None if grid is None else row_means

    return token_select


def register_update(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor]],
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]],
) -> Callable[..., Tensor]:
    """Register an update as the op ``mmdynamicvis::token_update_<name>``.

    Args:
        name: Of the backend.
        forward: Takes the arguments of :func:`mmdynamicvis.ops.token_update` but for the backend,
            in their order. Returns the new tokens, and (B, L) int32 for the backward pass: the row
            of a selected token among all B * K, or -1.
        backward: Takes the gradient of the new tokens, then the arguments of ``forward`` but with
            that tensor for the indices. Returns the gradients of tokens, updated and importance.

    Returns:
        A function of the arguments of ``forward`` that returns the new tokens.
    """
    op = torch.library.custom_op(
        f'mmdynamicvis::token_update_{name}',
        forward,
        mutates_args=(),
        schema=f'(Tensor tokens, Tensor updated, Tensor indices, {_UPDATE_OPTIONS}) '
        '-> (Tensor, Tensor)',
    )
    op_backward = torch.library.custom_op(
        f'mmdynamicvis::token_update_{name}_backward',
        backward,
        mutates_args=(),
        schema=f'(Tensor d_result, Tensor tokens, Tensor updated, Tensor ranks, {_UPDATE_OPTIONS}) '
        '-> (Tensor, Tensor, Tensor)',
    )

    @op.register_fake
    def _(tokens, updated, indices, importance, update_unselected):
        ranks = importance.new_empty(importance.shape, dtype=torch.int32)
        return tokens.new_empty(tokens.shape), ranks

    @op_backward.register_fake
    def _(d_result, tokens, updated, ranks, importance, update_unselected):
        return tuple(x.new_empty(x.shape) for x in (tokens, updated, importance))

    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        tokens, updated, _, importance, ctx.update_unselected = inputs
        ctx.save_for_backward(tokens, updated, output[1], importance)

    def op_autograd(ctx: Any, d_result: Tensor, _) -> tuple:
        d_tokens, d_updated, d_importance = op_backward(
            d_result, *ctx.saved_tensors, ctx.update_unselected
        )
        return d_tokens, d_updated, None, d_importance, None

    op.register_autograd(op_autograd, setup_context=setup_context)

    def token_update(*args: Any) -> Tensor:
        return op(*args)[0]

    return token_update
