"""Token selection on a CPU, in one pass over the tokens: the kernels of ops/cpu."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.cpu.arguments import contiguous, pointer
from mmdynamicvis.ops.token_select import eager
from mmdynamicvis.ops.token_select.fused import make_update, register_select

_TASK = 64  # rows whose gradients of the weights are added up by one task of the kernel


def _call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a kernel with tensors (None: a null pointer), integers and floats."""
    kinds = {int: ctypes.c_int64, float: ctypes.c_float}
    getattr(library.load(), name)(
        *(
            kinds[type(x)](x) if type(x) in kinds else ctypes.c_void_p(pointer(x))
            for x in arguments
        ),
        torch.get_num_threads(),
    )


def _select(tokens, scorer, norm_weight, k, noise, width, eps, keep):
    n_batch, length, n_channels = tokens.shape
    x = contiguous(tokens)
    n_means = length // width if width else 0
    means = x.new_empty(n_batch, n_means, n_channels) if n_means else None
    scores = x.new_empty(n_batch, length)
    _call(
        'token_scores',
        *(x, contiguous(scorer), scores, means),
        *(n_batch * length, n_channels, width or _TASK, eps),
    )
    indices = torch.empty(n_batch, k, dtype=torch.int64, device='cpu')
    ranked = scores if noise is None else scores + contiguous(noise)
    _call('token_best', ranked, indices, n_batch, length, k)
    normed = x.new_empty(n_batch, n_means + k, n_channels)
    rows = x.new_empty(n_batch, n_means + k if keep else 0, n_channels)
    _call(
        'token_gather',
        *(x, contiguous(norm_weight), indices, means, normed, rows if keep else None),
        *(n_batch, length, n_channels, n_means, k, eps),
    )
    dtype = tokens.dtype
    return normed.to(dtype), scores.gather(1, indices), indices, scores, rows.to(dtype)


def _select_backward(
    d_normed, d_kept_scores, rows, scorer, norm_weight, indices, length, width, eps
):
    n_batch, n_rows, n_channels = rows.shape
    k = indices.shape[1]
    d_rows = torch.empty(rows.shape, dtype=torch.float32, device='cpu')
    d_weights = d_rows.new_empty(2, -(-n_batch * n_rows // _TASK), n_channels)
    weights = contiguous(scorer), contiguous(norm_weight)
    _call(
        'token_norm_backward',
        *(contiguous(d_normed), contiguous(d_kept_scores), contiguous(rows), *weights),
        *(d_rows, d_weights, n_batch * n_rows, n_channels, n_rows, n_rows - k, eps),
    )
    ranks = torch.full((n_batch, length), -1, dtype=torch.int32, device='cpu')
    order = torch.arange(n_rows - k, n_rows, dtype=torch.int32, device='cpu')
    ranks.scatter_(1, indices, order.expand(n_batch, k))
    d_tokens = d_rows.new_empty(n_batch, length, n_channels)
    _call(
        'token_scatter',
        *(d_rows, ranks, d_tokens, n_batch, length, n_channels, n_rows, width),
    )
    d_scorer, d_norm_weight = d_weights.sum(1)
    return (
        d_tokens.to(rows.dtype),
        d_scorer.to(scorer.dtype, copy=True),
        d_norm_weight.to(norm_weight.dtype, copy=True),
    )


def _update(tokens, increment, indices, weight):
    _call(
        'token_update',
        *(tokens, contiguous(increment), indices.contiguous(), contiguous(weight)),
        *(*indices.shape, *tokens.shape[1:]),
    )


def _update_backward(d_tokens, increment, indices, weight):
    d_increment = torch.empty(increment.shape, dtype=torch.float32, device='cpu')
    d_weight = torch.empty(weight.shape, dtype=torch.float32, device='cpu')
    _call(
        'token_update_backward',
        *(contiguous(d_tokens), contiguous(increment), indices.contiguous(), contiguous(weight)),
        *(d_increment, d_weight, *indices.shape, *d_tokens.shape[1:]),
    )
    return d_increment.to(increment.dtype), d_weight.to(weight.dtype)


token_select = register_select('cpu', _select, _select_backward)
_update_in_float32 = make_update(_update, _update_backward)


def token_update(tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    """See :func:`mmdynamicvis.ops.token_update`; half floats are left to plain torch."""
    function = _update_in_float32 if tokens.dtype == torch.float32 else eager.token_update
    return function(tokens, increment, indices, weight)
