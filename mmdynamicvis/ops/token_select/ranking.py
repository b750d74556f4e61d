"""Which tokens are selected: the same for every backend, whatever order they are scanned in."""

from __future__ import annotations

from torch import Tensor


def best(scores_BL: Tensor, k: int) -> Tensor:
    """Return the indices (B, K) int64 of the k highest scores, ascending.

    Of equal scores the lower index is taken.
    """
    # A stable sort, since topk leaves the order of equal values open.
    indices_BL = scores_BL.sort(dim=-1, stable=True, descending=True).indices
    return indices_BL[:, :k].sort(dim=-1).values
