"""MIL-NCE between regions and categories (DynamicVis, equation 14; after arXiv 1912.06430)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from mmdynamicvis.ops.autocast import outside_autocast


def mil_nce_loss(
    regions_RE: Tensor, labels_R: Tensor, categories_CE: Tensor, scale: Tensor
) -> Tensor:
    r"""Contrast regions with the meta-embeddings of their categories, in both directions.

    With the logits :math:`l_{rc} = scale \cos(v_r, t_c)`, each region is matched to its category
    among all categories, and each category to its regions, as one bag, among all regions:

    .. math::
        L = -\frac{1}{2 R} \sum_r \log \frac{\exp l_{r y_r}}{\sum_c \exp l_{rc}}
            -\frac{1}{2 |P|} \sum_{c \in P} \log
            \frac{\sum_{r: y_r = c} \exp l_{rc}}{\sum_r \exp l_{rc}}

    P is the set of categories that have a region. The loss is computed with log-sum-exps, which
    keep it finite for every scale, and at least in float32. No argument is modified.

    =============  ======================  ========
    argument       shape                   dtype
    =============  ======================  ========
    regions_RE     (R, E), not normalized  floating
    labels_R       (R,), 0 to C - 1        int64
    categories_CE  (C, E), not normalized  floating
    scale          ()                      floating
    =============  ======================  ========

    Returns:
        The loss, a scalar; zero without regions.
    """
    dtype = torch.promote_types(regions_RE.dtype, torch.float32)
    with outside_autocast(regions_RE):
        regions_RE = normalize(regions_RE.to(dtype), dim=-1)
        categories_CE = normalize(categories_CE.to(dtype), dim=-1)
        logits_RC = scale.to(dtype) * (regions_RE @ categories_CE.t())
    if len(labels_R) == 0:
        return logits_RC.sum() * 0
    to_category = cross_entropy(logits_RC, labels_R)

    own_RC = one_hot(labels_R, len(categories_CE)).bool()
    present_C = own_RC.any(0)
    # not -inf, which would give NaN gradients for categories without regions
    own_logits_RC = logits_RC.masked_fill(~own_RC, torch.finfo(dtype).min / 2)
    distance_C = logits_RC.logsumexp(0) - own_logits_RC.logsumexp(0)
    to_regions = torch.where(present_C, distance_C, 0).sum() / present_C.sum()
    return (to_category + to_regions) / 2
