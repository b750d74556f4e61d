"""The paper's rule of selection (DynamicVis, arXiv 2503.16426, equations 10 to 13).

Published weights are trained with it. An importance, the softmax of the scores over all L tokens,
orders the tokens that are scanned and weights the increment, which makes it about 1 / L.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.autocast import outside_autocast
from mmdynamicvis.ops.token_select.eager import flat


def select_by_importance(
    tokens_BLC: Tensor, scorer_C: Tensor, k: int, noise_BL: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Take the k most important tokens, in descending order of importance.

    Args:
        tokens_BLC: Tokens.
        scorer_C: The scores are ``tokens @ scorer``, in float32 at least, autocast or not.
        k: How many tokens to take.
        noise_BL: Added to the scores for the choice only.

    Returns:
        Tokens (B, K, C), their indices (B, K) int64, and the importance (B, L) of all. Gradients
        flow through tokens and importance, not through the choice.
    """
    wide = torch.promote_types(tokens_BLC.dtype, torch.float32)
    with outside_autocast(tokens_BLC):
        # Not a matrix product: BLAS rounds equal rows differently, so that ties would not be ties.
        scores_BL = (tokens_BLC.to(wide) * scorer_C.to(wide)).sum(-1)
        importance_BL = scores_BL.softmax(-1)
        ranked_BL = importance_BL.detach()
        if noise_BL is not None:
            ranked_BL = (scores_BL.detach() + noise_BL).softmax(-1)
    indices_BK = rank(ranked_BL, k)
    rows_XC = tokens_BLC.flatten(0, 1).index_select(0, flat(indices_BK, tokens_BLC.shape[1]))
    return rows_XC.unflatten(0, indices_BK.shape), indices_BK, importance_BL


def update_by_importance(
    tokens_BLC: Tensor,
    updated_BKC: Tensor,
    indices_BK: Tensor,
    importance_BL: Tensor,
    unselected: bool,
) -> Tensor:
    """Return s + w x' where a token was selected and updated to x', and s + w s elsewhere.

    Args:
        tokens_BLC: The sequence s.
        updated_BKC: x'.
        indices_BK: Places of the selected tokens.
        importance_BL: w.
        unselected: If False, tokens that were not selected stay as they are.
    """
    rows = flat(indices_BK, tokens_BLC.shape[1])
    selected_BKC = tokens_BLC.flatten(0, 1).index_select(0, rows).view_as(updated_BKC)
    weight_BK1 = importance_BL.gather(1, indices_BK).unsqueeze(-1)
    dtype = tokens_BLC.dtype
    selected_BKC = torch.addcmul(selected_BKC, weight_BK1.to(dtype), updated_BKC.to(dtype))
    if unselected:
        result_BLC = (tokens_BLC * (1 + importance_BL.unsqueeze(-1)).to(dtype)).contiguous()
    else:
        result_BLC = tokens_BLC.clone(memory_format=torch.contiguous_format)
    result_BLC.flatten(0, 1).index_copy_(0, rows, selected_BKC.flatten(0, 1))
    return result_BLC


def rank(importance_BL: Tensor, k: int) -> Tensor:
    """Return the indices (B, K) int64 of the k most important tokens, in descending order.

    Of equal importance the lower index comes first. Where scores lie so far apart that importances
    underflow to zero, published weights were trained with the order of torch.topk, which is kept on
    the CPU; a GPU goes by the lower index there too, which saves it a second search.
    """
    # A stable sort, since topk leaves the order of equal values open.
    ranked_BK, indices_BK = (x[:, :k] for x in importance_BL.sort(stable=True, descending=True))
    if importance_BL.device.type == 'cpu':
        indices_BK = torch.where(ranked_BK > 0, indices_BK, importance_BL.topk(k).indices)
    return indices_BK.contiguous()
