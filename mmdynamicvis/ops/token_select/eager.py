"""Token selection in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.autocast import outside_autocast
from mmdynamicvis.ops.token_select.ranking import best


def token_select(
    tokens_BLC: Tensor,
    scorer_C: Tensor,
    norm_weight_C: Tensor,
    k: int,
    noise_BL: Tensor | None,
    grid: tuple[int, int] | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mmdynamicvis.ops.token_select`."""
    wide = torch.promote_types(tokens_BLC.dtype, torch.float32)
    with outside_autocast(tokens_BLC):
        scores_BL = _scores(tokens_BLC.detach().to(wide), scorer_C.detach().to(wide), eps)
        indices_BK = best(scores_BL if noise_BL is None else scores_BL + noise_BL, k)
        # whole rows are copied faster than elements are gathered
        rows_XC = tokens_BLC.flatten(0, 1).index_select(0, flat(indices_BK, tokens_BLC.shape[1]))
        rows_BKC = rows_XC.unflatten(0, indices_BK.shape).to(wide)
        # once more, so that no gradient of as many tokens as there are is made for few of them
        kept_scores_BK = _scores(rows_BKC, scorer_C.to(wide), eps)
        if grid is not None:
            means_BHC = tokens_BLC.unflatten(1, grid).mean(2, dtype=wide)
            rows_BKC = torch.cat([means_BHC, rows_BKC], dim=1)
        normed_BKC = rows_BKC * _inverse_rms(rows_BKC, eps) * norm_weight_C.to(wide)
    return normed_BKC.to(tokens_BLC.dtype), kept_scores_BK, indices_BK, scores_BL


def _scores(tokens_BLC: Tensor, scorer_C: Tensor, eps: float) -> Tensor:
    # Not a matrix product: BLAS rounds equal rows differently, so that ties would not be ties.
    return (tokens_BLC * scorer_C).sum(-1) * _inverse_rms(tokens_BLC, eps).squeeze(-1)


def _inverse_rms(x_BLC: Tensor, eps: float) -> Tensor:
    return (x_BLC.square().mean(-1, keepdim=True) + eps).rsqrt()


def token_update(
    tokens_BLC: Tensor, increment_BKC: Tensor, indices_BK: Tensor, weight_BK: Tensor
) -> Tensor:
    """See :func:`mmdynamicvis.ops.token_update`."""
    increment_BKC = (weight_BK.unsqueeze(-1) * increment_BKC).to(tokens_BLC.dtype)
    # the index of an element for each of its channels: torch has a fast path for expanded ones
    indices_BKC = indices_BK.unsqueeze(-1).expand_as(increment_BKC)
    return tokens_BLC.scatter_add_(1, indices_BKC, increment_BKC)


def flat(indices_BK: Tensor, length: int) -> Tensor:
    """Return (B * K) int64, the places of tokens in the sequences of a batch put end to end."""
    first_B = length * torch.arange(indices_BK.shape[0], device=indices_BK.device)
    return (indices_BK + first_B.unsqueeze(1)).flatten()
