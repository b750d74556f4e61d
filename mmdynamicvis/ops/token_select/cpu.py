"""Token selection on a CPU, each direction in one pass over the tokens: the kernels of ops/cpu."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.cpu.arguments import contiguous, pointer
from mmdynamicvis.ops.token_select.fused import register_select, register_update
from mmdynamicvis.ops.token_select.ranking import rank

_TASK = 64  # rows whose gradients of the weight are added up by one task of the kernel


def _call(name: str, *arguments) -> None:
    """Call a kernel with tensors (None: a null pointer) and integers."""
    getattr(library.load(), name)(
        *(
            ctypes.c_int64(x) if isinstance(x, int) else ctypes.c_void_p(pointer(x))
            for x in arguments
        ),
        torch.get_num_threads(),
    )


def _select(tokens, weight, k, noise, width):
    n_batch, length, n_channels = tokens.shape
    rows, weight = contiguous(tokens), contiguous(weight)
    scores = rows.new_empty(n_batch, length)
    row_means = rows.new_empty(n_batch, length // width if width else 0, n_channels)
    _call(
        'token_scores',
        *(rows, weight, scores, row_means if width else None),
        *(n_batch * length, n_channels, width or _TASK),
    )
    importance = scores.softmax(-1)
    indices = _rank(importance if noise is None else (scores + contiguous(noise)).softmax(-1), k)
    first = torch.arange(0, n_batch * length, length, device='cpu').unsqueeze(1)
    selected = tokens.reshape(-1, n_channels).index_select(0, (indices + first).flatten())
    return selected.view(n_batch, k, n_channels), indices, importance, row_means.to(tokens.dtype)


def _rank(importance: Tensor, k: int) -> Tensor:
    """Do what :func:`rank` does, without sorting tokens that are not selected."""
    indices = importance.new_empty(len(importance), k, dtype=torch.int64)
    _call('token_rank', importance, indices, *importance.shape, k)
    if (importance.gather(1, indices[:, -1:]) > 0).all():
        return indices
    return rank(importance, k)  # which knows the order among zeros


def _select_backward(
    d_selected, d_importance, d_row_means, tokens, weight, indices, importance, width
):
    n_batch, length, n_channels = tokens.shape
    rows = contiguous(tokens)
    d_tokens = torch.empty_like(rows)
    d_scores, d_weights = None, rows.new_zeros(1, n_channels)
    if d_importance is not None:
        product = d_importance * importance
        d_scores = product - importance * product.sum(-1, keepdim=True)
        d_weights = rows.new_empty(-(-n_batch * length // _TASK), n_channels)
    ranks = None if d_selected is None else _ranks(indices, length)
    d_selected, d_row_means = contiguous(d_selected), contiguous(d_row_means)
    _call(
        'token_scores_backward',
        *(d_selected, d_scores, d_row_means, rows, contiguous(weight), ranks, d_tokens, d_weights),
        *(n_batch * length, n_channels, width or length),
    )
    return d_tokens.to(tokens.dtype), d_weights.sum(0).to(weight.dtype)


def _ranks(indices: Tensor, length: int) -> Tensor:
    """Return (B, L) int32: the row among all B * K selected tokens, or -1."""
    n_batch, k = indices.shape
    ranks = indices.new_full((n_batch, length), -1, dtype=torch.int32)
    order = torch.arange(n_batch * k, dtype=torch.int32, device='cpu').view(n_batch, k)
    return ranks.scatter_(1, indices, order)


def _update(tokens, updated, indices, importance, update_unselected):
    n_batch, length, n_channels = tokens.shape
    ranks = _ranks(indices, length)
    rows = contiguous(tokens)
    result = torch.empty_like(rows)
    _call(
        'token_update',
        *(rows, contiguous(updated), ranks, contiguous(importance), result),
        *(n_batch * length, n_channels, int(update_unselected)),
    )
    return result.to(tokens.dtype), ranks


def _update_backward(d_result, tokens, updated, ranks, importance, update_unselected):
    n_batch, length, n_channels = tokens.shape
    rows, updated_rows, weights = map(contiguous, (tokens, updated, importance))
    grads = [torch.empty_like(x) for x in (rows, updated_rows, weights)]
    _call(
        'token_update_backward',
        *(contiguous(d_result), rows, updated_rows, ranks, weights, *grads),
        *(n_batch * length, n_channels, int(update_unselected)),
    )
    return tuple(
        grad.to(x.dtype) for grad, x in zip(grads, (tokens, updated, importance), strict=True)
    )


token_select = register_select('cpu', _select, _select_backward)
token_update = register_update('cpu', _update, _update_backward)
