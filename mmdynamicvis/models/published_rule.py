"""The paper's rule for selection and update (arXiv 2503.16426, equations 10 to 13).

Published weights are trained with it. The importance, a softmax of the scores over all L tokens,
determines the order in which tokens are scanned and weights the increment, which is therefore on
the order of 1 / L.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdynamicvis.ops.autocast import outside_autocast
from mmdynamicvis.ops.token_select.eager import flat


def select_by_importance(
    tokens_BLC: Tensor, scorer_C: Tensor, k: int, noise_BL: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the k most important tokens, in descending order of importance.

    Args:
        tokens_BLC: Tokens (B, L, C).
        scorer_C: (C,); the scores are ``tokens @ scorer``, computed at least in float32, even under
            autocast.
        k: Number of tokens to select.
        noise_BL: Noise added to the scores for the selection only.

    Returns:
        Tokens (B, K, C), their indices (B, K) int64, and the importance (B, L) of all tokens.
        Gradients flow through tokens and importance, not through the selection.
    """
    wide = torch.promote_types(tokens_BLC.dtype, torch.float32)
    with outside_autocast(tokens_BLC):
        # Not a matrix product, because BLAS may round equal rows differently, which breaks ties.
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
    """Return s + w x' for tokens that were selected and updated to x', and s + w s for others.

    Args:
        tokens_BLC: The tokens s.
        updated_BKC: The updated tokens x'.
        indices_BK: Indices of the selected tokens.
        importance_BL: The importance w.
        unselected: If False, tokens that were not selected are not changed.

    Returns:
        The new tokens (B, L, C).
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

    For equal importance, the lower index comes first. If scores are so far apart that importances
    underflow to zero, published weights were trained with the order of torch.topk. The CPU uses
    that order; a GPU uses the lower index there too, which avoids a second search.
    """
    # A stable sort, because topk does not define the order of equal values.
    ranked_BK, indices_BK = (x[:, :k] for x in importance_BL.sort(stable=True, descending=True))
    if importance_BL.device.type == 'cpu':
        indices_BK = torch.where(ranked_BK > 0, indices_BK, importance_BL.topk(k).indices)
    return indices_BK.contiguous()
