"""Token selection in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.token_select.ranking import rank


def token_select(
    tokens_BLC: Tensor,
    weight_C: Tensor,
    k: int,
    noise_BL: Tensor | None,
    grid: tuple[int, int] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mmdynamicvis.ops.token_select`."""
    wide = torch.promote_types(tokens_BLC.dtype, torch.float32)
    with torch.autocast(tokens_BLC.device.type, enabled=False):
        # Not a matrix product: BLAS rounds equal rows differently, so that ties would not be ties.
        scores_BL = (tokens_BLC.to(wide) * weight_C.to(wide)).sum(-1)
        importance_BL = scores_BL.softmax(-1)
        ranked_BL = importance_BL.detach()
        if noise_BL is not None:
            ranked_BL = (scores_BL.detach() + noise_BL).softmax(-1)
    indices_BK = rank(ranked_BL, k)
    tokens_BKC = _rows(tokens_BLC).index_select(0, _row_indices(indices_BK, tokens_BLC))
    tokens_BKC = tokens_BKC.unflatten(0, (tokens_BLC.shape[0], k))
    row_means_BHC = None if grid is None else tokens_BLC.unflatten(1, grid).mean(2)
    return tokens_BKC, indices_BK, importance_BL, row_means_BHC


def token_update(
    tokens_BLC: Tensor,
    updated_BKC: Tensor,
    indices_BK: Tensor,
    importance_BL: Tensor,
    update_unselected: bool,
) -> Tensor:
    """See :func:`mmdynamicvis.ops.token_update`."""
    dtype = tokens_BLC.dtype
    rows = _row_indices(indices_BK, tokens_BLC)
    selected_BKC = _rows(tokens_BLC).index_select(0, rows).view_as(updated_BKC)
    weight_BK1 = importance_BL.gather(1, indices_BK).unsqueeze(-1)
    selected_BKC = torch.addcmul(selected_BKC, weight_BK1.to(dtype), updated_BKC.to(dtype))
    if update_unselected:
        result_BLC = (tokens_BLC * (1 + importance_BL.unsqueeze(-1)).to(dtype)).contiguous()
    else:
        result_BLC = tokens_BLC.clone(memory_format=torch.contiguous_format)
    _rows(result_BLC).index_copy_(0, rows, selected_BKC.flatten(0, 1))
    return result_BLC


def _rows(x_BLC: Tensor) -> Tensor:
    """(B, L, C) -> (B * L, C): whole rows are copied faster than elements are gathered."""
    return x_BLC.flatten(0, 1)


def _row_indices(indices_BK: Tensor, tokens_BLC: Tensor) -> Tensor:
    n_batch, length, _ = tokens_BLC.shape
    first_B = length * torch.arange(n_batch, device=indices_BK.device)
    return (indices_BK + first_B.unsqueeze(1)).flatten()
