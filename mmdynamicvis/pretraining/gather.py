"""Gathering of regions from all processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn.functional import pad


def gather_regions(regions_RE: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return the regions of all processes, in the order of ranks, with gradients.

    Processes may have different numbers of regions, also none. If all processes compute the same
    loss from the result, then after DistributedDataParallel's averaging the gradients equal those
    of a single process with the joint batch. Without distributed training the arguments are
    returned unchanged.

    Args:
        regions_RE: Embeddings (R, E) of this process.
        labels_R: Their categories (R,), int64.

    Returns:
        Embeddings (sum of R, E) and categories (sum of R,).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return regions_RE, labels_R
    count = torch.tensor([len(labels_R)], device=labels_R.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    counts = torch.cat(counts).tolist()

    # collectives need equal shapes, so pad, and remove the padding afterwards
    n_missing = max(counts) - len(labels_R)
    labels = [labels_R.new_empty(max(counts)) for _ in counts]
    dist.all_gather(labels, pad(labels_R, (0, n_missing)))
    regions = all_gather(pad(regions_RE, (0, 0, 0, n_missing)).contiguous())
    return (
        torch.cat([r[:n] for r, n in zip(regions, counts, strict=True)]),
        torch.cat([y[:n] for y, n in zip(labels, counts, strict=True)]),
    )
