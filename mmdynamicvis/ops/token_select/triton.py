"""Token selection with Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.strided_rows import strided_rows
from mmdynamicvis.ops.token_select import kernels, top_k
from mmdynamicvis.ops.token_select.fused import make_update, register_select
from mmdynamicvis.ops.token_select.tiling import RANKS_BLOCK, ceil, row_tile, token_tile
from mmdynamicvis.ops.token_select.variants import variants

__all__ = ['token_select', 'token_update', 'variants']


def _select(
    tokens: Tensor,
    scorer: Tensor,
    norm_weight: Tensor,
    k: int,
    noise: Tensor | None,
    width: int,
    eps: float,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mmdynamicvis.ops.token_select.fused.register_select`."""
    n_batch, length, n_channels = tokens.shape
    tokens, row_stride = strided_rows(tokens)
    n_means = length // width if width else 0
    width = width or length
    tile, rows_tile = token_tile(tokens), row_tile(tokens)
    n_segments = ceil(width, tile['BLOCK_L'])
    n_programs = n_batch * length // width * n_segments
    n_rows = n_means + k

    scores = _float32(tokens, n_batch, length)
    kept_scores = _float32(tokens, n_batch, k)
    sums = _float32(tokens, n_programs, n_channels) if n_means else None
    counts = None
    if k < length and top_k.needs_counts(length):
        counts = tokens.new_empty(n_batch * top_k.COUNTS, dtype=torch.int32)
    normed = tokens.new_empty(n_batch, n_rows, n_channels)
    rows = tokens.new_empty(n_batch, n_rows if keep else 0, n_channels)
    with torch.cuda.device_of(tokens):
        kernels.token_scores_fwd_kernel[(n_programs,)](
            tokens,
            scorer.contiguous(),
            scores,
            sums,
            counts,
            row_stride,
            width,
            n_segments,
            0 if counts is None else n_batch * top_k.COUNTS,
            eps,
            *tile.values(),
        )
        if k == length:
            indices = torch.arange(length, device=tokens.device).unsqueeze(0)
            indices = indices if n_batch == 1 else indices.repeat(n_batch, 1)
        elif noise is None:
            indices = top_k.top_k(scores, k, counts)
        else:
            indices = top_k.top_k((scores + noise).float(), k, counts)
        kernels.token_gather_fwd_kernel[(ceil(n_batch * n_rows, rows_tile['BLOCK_L']),)](
            tokens,
            indices,
            scores,
            sums,
            norm_weight.contiguous(),
            kept_scores,
            normed,
            rows if keep else None,
            row_stride,
            n_batch * n_rows,
            k,
            n_means,
            length,
            width,
            n_segments,
            eps,
            *rows_tile.values(),
        )
    return normed, kept_scores, indices, scores, rows


def _select_backward(
    d_normed: Tensor,
    d_kept_scores: Tensor,
    rows: Tensor,
    scorer: Tensor,
    norm_weight: Tensor,
    indices: Tensor,
    length: int,
    width: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of tokens, scorer and norm weight."""
    n_batch, n_rows, n_channels = rows.shape
    k = indices.shape[1]
    n_means = n_rows - k
    width = width or length
    tile, rows_tile = token_tile(rows), row_tile(rows)
    n_programs = ceil(n_batch * n_rows, rows_tile['BLOCK_L'])
    n_segments = ceil(width, tile['BLOCK_L'])
    d_rows = _float32(rows, *rows.shape)
    d_weights = _float32(rows, 2, n_programs, n_channels)
    ranks = indices.new_full((n_batch, length), -1, dtype=torch.int32)
    d_tokens = rows.new_empty(n_batch, length, n_channels)
    with torch.cuda.device_of(rows):
        kernels.token_norm_bwd_kernel[(n_programs,)](
            d_normed.contiguous(),
            d_kept_scores.contiguous(),
            rows,
            scorer.contiguous(),
            norm_weight.contiguous(),
            d_rows,
            d_weights,
            n_batch * n_rows,
            k,
            n_means,
            eps,
            *rows_tile.values(),
        )
        kernels.token_ranks_fwd_kernel[(ceil(n_batch * k, RANKS_BLOCK),)](
            indices, ranks, n_batch * k, k, n_means, length, BLOCK=RANKS_BLOCK
        )
        kernels.token_scatter_bwd_kernel[(n_batch * length // width * n_segments,)](
            d_rows,
            ranks,
            d_tokens,
            width,
            length // width,
            n_segments,
            n_rows,
            n_means > 0,
            *tile.values(),
        )
    d_scorer, d_norm_weight = d_weights.sum(1)
    return (
        d_tokens,
        d_scorer.to(scorer.dtype, copy=True),
        d_norm_weight.to(norm_weight.dtype, copy=True),
    )


def _update(tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor) -> None:
    """Write to the tokens, which are contiguous."""
    (n_batch, k), tile = indices.shape, row_tile(tokens)
    with torch.cuda.device_of(tokens):
        kernels.token_update_fwd_kernel[(ceil(n_batch * k, tile['BLOCK_L']),)](
            tokens,
            increment.contiguous(),
            indices.contiguous(),
            weight.contiguous(),
            n_batch * k,
            k,
            tokens.shape[1],
            *tile.values(),
        )


def _update_backward(
    d_tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of increment and weight."""
    (n_batch, k), tile = indices.shape, row_tile(increment)
    d_increment, d_weight = increment.new_empty(increment.shape), weight.new_empty(weight.shape)
    with torch.cuda.device_of(d_tokens):
        kernels.token_update_bwd_kernel[(ceil(n_batch * k, tile['BLOCK_L']),)](
            d_tokens.contiguous(),
            increment.contiguous(),
            indices.contiguous(),
            weight.contiguous(),
            d_increment,
            d_weight,
            n_batch * k,
            k,
            d_tokens.shape[1],
            *tile.values(),
        )
    return d_increment, d_weight


def _float32(like: Tensor, *shape: int) -> Tensor:
    return like.new_empty(shape, dtype=torch.float32)


token_select = register_select('triton', _select, _select_backward)
token_update = make_update(_update, _update_backward)
