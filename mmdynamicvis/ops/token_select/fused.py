"""Registration of kernels that select or update tokens: a forward and a backward function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops import direct
from mmdynamicvis.ops.token_select import eager


def register_select(
    name: str,
    forward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor, Tensor]],
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]],
) -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Register a selection as the op ``mmdynamicvis::token_select_<name>``.

    The tokens may be overwritten before the backward pass, which therefore gets copies of the rows
    that it needs.

    Args:
        name: Of the backend.
        forward: Takes tokens, scorer, norm_weight, k, noise or None, the width of the grid, 0 for
            no grid, eps, and whether a backward pass may come. Returns normed tokens, kept scores,
            indices, scores, and the rows (B, G + K, C) before their norm, (B, 0, C) if no backward
            pass comes; all contiguous.
        backward: Takes the gradients of normed tokens and kept scores, then rows, scorer,
            norm_weight, indices, L, width and eps. Returns the gradients of tokens, scorer and
            norm_weight.

    Returns:
        A function of the arguments of :func:`mmdynamicvis.ops.token_select` but for the backend.
    """
    op = torch.library.custom_op(
        f'mmdynamicvis::token_select_{name}',
        forward,
        mutates_args=(),
        schema='(Tensor tokens, Tensor scorer, Tensor norm_weight, SymInt k, Tensor? noise, '
        'SymInt width, float eps, bool keep) -> (Tensor, Tensor, Tensor, Tensor, Tensor)',
    )
    op_backward = torch.library.custom_op(
        f'mmdynamicvis::token_select_{name}_backward',
        backward,
        mutates_args=(),
        schema='(Tensor d_normed, Tensor d_kept_scores, Tensor rows, Tensor scorer, '
        'Tensor norm_weight, Tensor indices, SymInt length, SymInt width, float eps) '
        '-> (Tensor, Tensor, Tensor)',
    )

    @op.register_fake
    def _(tokens, scorer, norm_weight, k, noise, width, eps, keep):
        n_batch, length, n_channels = tokens.shape
        n_rows = k + (length // width if width else 0)
        return (
            tokens.new_empty(n_batch, n_rows, n_channels),
            tokens.new_empty(n_batch, k, dtype=torch.float32),
            tokens.new_empty(n_batch, k, dtype=torch.int64),
            tokens.new_empty(n_batch, length, dtype=torch.float32),
            tokens.new_empty(n_batch, n_rows if keep else 0, n_channels),
        )

    @op_backward.register_fake
    def _(d_normed, d_kept_scores, rows, scorer, norm_weight, indices, length, width, eps):
        d_tokens = rows.new_empty(rows.shape[0], length, rows.shape[2])
        return d_tokens, torch.empty_like(scorer), torch.empty_like(norm_weight)

    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        tokens, scorer, norm_weight, _, _, ctx.width, ctx.eps, _ = inputs
        _, _, indices, scores, rows = output
        ctx.length = tokens.shape[1]
        ctx.mark_non_differentiable(indices, scores, rows)
        ctx.save_for_backward(rows, scorer, norm_weight, indices)

    def op_autograd(ctx: Any, d_normed, d_kept_scores, *_) -> tuple:
        grads = op_backward(
            d_normed, d_kept_scores, *ctx.saved_tensors, ctx.length, ctx.width, ctx.eps
        )
        return *grads, None, None, None, None, None

    op.register_autograd(op_autograd, setup_context=setup_context)

    def token_select(
        tokens: Tensor,
        scorer: Tensor,
        norm_weight: Tensor,
        k: int,
        noise: Tensor | None,
        grid: tuple[int, int] | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        width = 0 if grid is None else grid[1]
        keep = torch.is_grad_enabled()
        function = forward if direct.may_call(tokens, scorer, norm_weight, noise) else op
        return function(tokens, scorer, norm_weight, k, noise, width, eps, keep)[:4]

    return token_select


def make_update(
    forward: Callable[[Tensor, Tensor, Tensor, Tensor], None],
    backward: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Make an update of a kernel that writes to the tokens.

    An autograd function, as ops of torch.library that write to their arguments have no gradient.
    torch.compile takes the eager update instead, which it fuses; torch.jit.trace, too, to which
    sizes are tensors, which no kernel takes.

    Args:
        forward: Takes the arguments of :func:`mmdynamicvis.ops.token_update` but for the backend,
            and writes to the first.
        backward: Takes the gradient of the new tokens, increment, indices and weight; returns the
            gradients of increment and weight.
    """

    class Update(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor
        ) -> Tensor:
            forward(tokens, increment, indices, weight)
            ctx.mark_dirty(tokens)
            ctx.save_for_backward(increment, indices, weight)
            return tokens

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, d_tokens: Tensor) -> tuple:
            d_increment, d_weight = backward(d_tokens, *ctx.saved_tensors)
            return d_tokens, d_increment, None, d_weight

    def token_update(tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if traced or not tokens.is_contiguous():
            return eager.token_update(tokens, increment, indices, weight)
        if direct.may_call(tokens, increment, indices, weight):
            forward(tokens, increment, indices, weight)
            torch.autograd.graph.increment_version(tokens)
            return tokens
        return Update.apply(tokens, increment, indices, weight)

    return token_update
