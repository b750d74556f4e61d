"""The order of the selected tokens, the same for every backend of a device."""

from __future__ import annotations

import torch
from torch import Tensor


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
