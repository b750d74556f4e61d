"""The definition of the token selection, token by token in float64: the oracle of the tests."""

from __future__ import annotations

import torch
from torch import Tensor


def token_select(
    tokens: Tensor,
    scorer: Tensor,
    norm_weight: Tensor,
    k: int,
    noise: Tensor | None,
    grid: tuple[int, int] | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mmdynamicvis.ops.token_select`."""
    normalized = _normalize(tokens.double(), eps)
    scores = (normalized * scorer.double()).sum(-1)
    ranked = scores.detach() if noise is None else scores.detach() + noise.double()
    indices = torch.tensor(
        [
            sorted(sorted(range(len(row)), key=lambda i: (-row[i], i))[:k])
            for row in ranked.tolist()
        ],
        device=tokens.device,
    )
    parts = [torch.stack([row[index] for row, index in zip(normalized, indices, strict=True)])]
    if grid is not None:
        rows = tokens.double().split(grid[1], dim=1)
        means = torch.stack([row.sum(1) / grid[1] for row in rows], dim=1)
        parts.insert(0, _normalize(means, eps))
    normed = torch.cat(parts, dim=1) * norm_weight.double()
    kept = torch.stack([row[index] for row, index in zip(scores, indices, strict=True)])
    wide = torch.promote_types(tokens.dtype, torch.float32)
    return normed.to(tokens.dtype), kept.to(wide), indices, scores.detach().to(wide)


def _normalize(x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def token_update(tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    """See :func:`mmdynamicvis.ops.token_update`."""
    s, m, w = tokens.double(), increment.double(), weight.double()
    batches = []
    for b, row in enumerate(indices.tolist()):
        place = {index: rank for rank, index in enumerate(row)}
        result = [
            s[b, i] + w[b, place[i]] * m[b, place[i]] if i in place else s[b, i]
            for i in range(s.shape[1])
        ]
        batches.append(torch.stack(result))
    return torch.stack(batches).to(tokens.dtype)
