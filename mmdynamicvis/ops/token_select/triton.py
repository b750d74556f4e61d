"""Token selection with Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.strided_rows import strided_rows
from mmdynamicvis.ops.token_select import kernels
from mmdynamicvis.ops.token_select.fused import register_select, register_update
from mmdynamicvis.ops.token_select.ranking import rank
from mmdynamicvis.ops.token_select.tiling import (
    DOTS_BLOCK,
    RANKS_BLOCK,
    ceil,
    chunk,
    select_tile,
    update_tile,
)
from mmdynamicvis.ops.token_select.variants import variants

__all__ = ['token_select', 'token_update', 'variants']


def _select(
    tokens: Tensor, weight: Tensor, k: int, noise: Tensor | None, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return selected tokens, indices, importance and row means, see :mod:`.fused`."""
    n_batch, length, n_channels = tokens.shape
    tokens, row_stride = strided_rows(tokens)
    tile = select_tile(tokens)
    pool, width = width > 0, width or length
    height, n_segments = length // width, ceil(width, tile['BLOCK_L'])
    n_programs = n_batch * height * n_segments
    scores = chunk(length)
    n_chunks = ceil(length, scores['BLOCK'])
    n_means = ceil(height * n_channels, scores['BLOCK']) if pool else 0

    selected = tokens.new_empty(n_batch, k, n_channels)
    row_means = tokens.new_empty(n_batch, height if pool else 0, n_channels)
    importance = _float32(tokens, n_batch, length)
    noisy = None if noise is None else torch.empty_like(importance)
    statistics = _float32(tokens, 2 if noise is None else 4, n_programs)
    sums = _float32(tokens, n_programs, n_channels) if pool else None
    with torch.cuda.device_of(tokens):
        kernels.token_scores_fwd_kernel[(n_programs,)](
            tokens,
            weight.float().contiguous(),
            None if noise is None else noise.float().contiguous(),
            importance,
            noisy,
            statistics,
            sums,
            row_stride,
            width,
            n_segments,
            **tile,
        )
        kernels.token_scores_finish_kernel[(n_chunks + n_means, n_batch)](
            importance,
            noisy,
            statistics,
            sums,
            row_means if pool else None,
            length,
            width,
            height * n_segments,
            n_segments,
            n_chunks,
            n_channels,
            **scores,
        )
        indices = rank(importance if noisy is None else noisy, k)
        kernels.token_gather_fwd_kernel[(ceil(n_batch * k, tile['BLOCK_L']),)](
            tokens, indices, selected, row_stride, n_batch * k, k, length, **tile
        )
    return selected, indices, importance, row_means


def _select_backward(
    d_selected: Tensor | None,
    d_importance: Tensor | None,
    d_row_means: Tensor | None,
    tokens: Tensor,
    weight: Tensor,
    indices: Tensor,
    importance: Tensor,
    width: int,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of tokens and weight; the latter is zero without d_importance."""
    n_batch, length, n_channels = tokens.shape
    d_tokens = tokens.new_empty(tokens.shape)
    tokens, row_stride = strided_rows(tokens)
    tile = select_tile(tokens)
    width = width or length
    height, n_segments = length // width, ceil(width, tile['BLOCK_L'])
    n_programs = n_batch * height * n_segments
    scores = chunk(length)
    n_chunks = ceil(length, scores['BLOCK'])
    ranks = dots = None
    d_weights = _float32(tokens, 0, n_channels)
    with torch.cuda.device_of(tokens):
        if d_selected is not None:
            d_selected = d_selected.contiguous()
            ranks = _ranks(indices, length)
        if d_importance is not None:
            d_importance = d_importance.contiguous()
            d_weights = _float32(tokens, n_programs, n_channels)
            dots = _float32(tokens, n_batch, n_chunks)
            kernels.importance_dot_bwd_kernel[(n_chunks, n_batch)](
                d_importance, importance, dots, length, **scores
            )
        kernels.token_select_bwd_kernel[(n_programs,)](
            d_selected,
            d_importance,
            None if d_row_means is None else d_row_means.contiguous(),
            tokens,
            weight.float().contiguous(),
            ranks,
            importance,
            dots,
            d_tokens,
            d_weights,
            row_stride,
            width,
            height,
            n_segments,
            n_chunks,
            **tile,
            BLOCK_DOTS=DOTS_BLOCK,
        )
    return d_tokens, d_weights.sum(0).to(weight.dtype)


def _update(
    tokens: Tensor, updated: Tensor, indices: Tensor, importance: Tensor, update_unselected: bool
) -> tuple[Tensor, Tensor]:
    """Return the new tokens, and the ranks for the backward pass."""
    n_tokens = importance.numel()
    tokens, row_stride = strided_rows(tokens)
    result = tokens.new_empty(tokens.shape)
    tile = update_tile(tokens)
    with torch.cuda.device_of(tokens):
        ranks = _ranks(indices.contiguous(), importance.shape[1])
        kernels.token_update_fwd_kernel[(ceil(n_tokens, tile['BLOCK_L']),)](
            tokens,
            updated.contiguous(),
            ranks,
            importance.contiguous(),
            result,
            row_stride,
            n_tokens,
            update_unselected,
            **tile,
        )
    return result, ranks


def _update_backward(
    d_result: Tensor,
    tokens: Tensor,
    updated: Tensor,
    ranks: Tensor,
    importance: Tensor,
    update_unselected: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of tokens, updated and importance."""
    n_tokens = importance.numel()
    grads = tuple(x.new_empty(x.shape) for x in (tokens, updated, importance))
    tokens, row_stride = strided_rows(tokens)
    tile = update_tile(tokens)
    with torch.cuda.device_of(tokens):
        kernels.token_update_bwd_kernel[(ceil(n_tokens, tile['BLOCK_L']),)](
            d_result.contiguous(),
            tokens,
            updated.contiguous(),
            ranks,
            importance.contiguous(),
            *grads,
            row_stride,
            n_tokens,
            update_unselected,
            **tile,
        )
    return grads


def _ranks(indices_BK: Tensor, length: int) -> Tensor:
    """Return (B, L) int32: the row among all B * K selected tokens, or -1."""
    n_batch, k = indices_BK.shape
    ranks_BL = indices_BK.new_full((n_batch, length), -1, dtype=torch.int32)
    kernels.token_ranks_fwd_kernel[(ceil(n_batch * k, RANKS_BLOCK),)](
        indices_BK, ranks_BL, n_batch * k, k, length, BLOCK=RANKS_BLOCK
    )
    return ranks_BL


def _float32(like: Tensor, *shape: int) -> Tensor:
    return like.new_empty(shape, dtype=torch.float32)


token_select = register_select('triton', _select, _select_backward)
token_update = register_update('triton', _update, _update_backward)
