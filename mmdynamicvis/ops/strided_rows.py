"""Rows of tensors that kernels read by a stride, so that parts of projections are not copied."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor


def strided_rows(x: Tensor) -> tuple[Tensor, int]:
    """Return a tensor (..., X), copied unless its rows lie evenly, and the stride from row to row.

    Parts of a projection, x and z of in_proj say, lie like this. A dimension of one element has no
    stride that matters.
    """
    if x.is_contiguous():
        return x, x.shape[-1]
    dims = [(n, stride) for n, stride in zip(x.shape[:-1], x.stride(), strict=False) if n > 1]
    evenly = all(outer == inner * n for (_, outer), (n, inner) in pairwise(dims))
    if not evenly or (x.shape[-1] > 1 and x.stride(-1) != 1):
        return x.contiguous(), x.shape[-1]
    return x, dims[-1][1] if dims else x.shape[-1]
