"""Gathering of rows from all processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn.functional import pad


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of all processes, in the order of ranks, with gradients.

    Processes may have different numbers of rows, also none. If all processes compute the same
    loss from the result, then after DistributedDataParallel's averaging the gradients equal those
    of a single process with the joint batch. Without distributed training the arguments are
    returned unchanged.

    Args:
        *tensors: Tensors (R, ...) of this process, all with the same number R of rows. A floating
            tensor must require gradients in all processes or in none.

    Returns:
        Tensors (sum of R, ...).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensors
    n_rows = len(tensors[0])
    count = torch.tensor([n_rows], device=tensors[0].device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    counts = torch.cat(counts).tolist()
    return tuple(_gather(x_R, counts) for x_R in tensors)


def _gather(x_R: Tensor, counts: list[int]) -> Tensor:
    # collectives need equal shapes, so pad, and remove the padding afterwards
    n_missing = max(counts) - len(x_R)
    x_R = pad(x_R, (*[0, 0] * (x_R.dim() - 1), 0, n_missing)).contiguous()
    if x_R.is_floating_point():
        parts = all_gather(x_R)
    else:
        parts = [torch.empty_like(x_R) for _ in counts]
        dist.all_gather(parts, x_R)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
