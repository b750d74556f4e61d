"""The definition of the token selection, token by token in float64: the oracle of the tests."""

from __future__ import annotations

import torch
from torch import Tensor


def token_select(
    tokens: Tensor,
    weight: Tensor,
    k: int,
    noise: Tensor | None,
    grid: tuple[int, int] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mmdynamicvis.ops.token_select`."""
    scores = (tokens.double() * weight.double()).sum(-1)
    importance = _softmax(scores)
    ranked = importance if noise is None else _softmax(scores.detach() + noise.double())
    indices = torch.tensor(
        [sorted(range(len(row)), key=lambda i: (-row[i], i))[:k] for row in ranked.tolist()],
        device=tokens.device,
    )
    selected = torch.stack([row[index] for row, index in zip(tokens, indices, strict=True)])
    importance = importance.to(torch.promote_types(tokens.dtype, torch.float32))
    if grid is None:
        return selected, indices, importance, None
    rows = tokens.double().split(grid[1], dim=1)
    row_means = torch.stack([row.sum(1) / grid[1] for row in rows], dim=1)
    return selected, indices, importance, row_means.to(tokens.dtype)


def _softmax(scores: Tensor) -> Tensor:
    exponentials = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    return exponentials / exponentials.sum(-1, keepdim=True)


def token_update(
    tokens: Tensor, updated: Tensor, indices: Tensor, importance: Tensor, update_unselected: bool
) -> Tensor:
    """See :func:`mmdynamicvis.ops.token_update`."""
    s, x, w = tokens.double(), updated.double(), importance.double()
    batches = []
    for b, row in enumerate(indices.tolist()):
        place = {index: rank for rank, index in enumerate(row)}
        result = []
        for i in range(s.shape[1]):
            if i in place:
                result.append(s[b, i] + w[b, i] * x[b, place[i]])
            elif update_unselected:
                result.append(s[b, i] + w[b, i] * s[b, i])
            else:
                result.append(s[b, i])
        batches.append(torch.stack(result))
    return torch.stack(batches).to(tokens.dtype)
