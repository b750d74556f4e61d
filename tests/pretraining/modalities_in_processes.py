"""Pretrains on several modalities in several processes with gloo; see test_gather.py."""

from __future__ import annotations

import torch
import torch.distributed as dist
from modalities import build, fix_hidden, make, part  # beside this script
from torch.nn.parallel import DistributedDataParallel

# Two samples per process; each process lacks a modality that the others have.
SAMPLES = {'rgb': [0, 1, 4], 's2': [0, 2, 2, 3, 4, 5], 's1': [2, 3, 3]}


def gradients(model: torch.nn.Module, batch) -> tuple[dict, list[torch.Tensor]]:
    losses = model(batch, mode='loss')
    sum(losses.values()).backward()
    return losses, [p.grad for p in model.parameters()]


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    rank, world_size = dist.get_rank(), dist.get_world_size()
    joint = part(make(SAMPLES, 6, dtype=torch.float64), 0, 2 * world_size)

    model = build().double()
    fix_hidden(model, joint, 2 * rank)
    model = DistributedDataParallel(model)
    losses, found = gradients(model, part(joint, 2 * rank, 2 * rank + 2))

    # a group of one for the joint batch: gather_rows then returns what it is given
    dist.destroy_process_group()
    alone = build().double()
    fix_hidden(alone, joint)
    expected_losses, expected = gradients(alone, joint)
    for name, loss in expected_losses.items():
        torch.testing.assert_close(losses[name], loss, rtol=1e-9, atol=1e-9)
        assert loss > 0.1
    for (name, parameter), gradient, reference in zip(
        alone.named_parameters(), found, expected, strict=True
    ):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)
        if parameter.dim() > 1:
            assert (reference != 0).any(), name
    if rank == 0:
        print('processes agree:', world_size)


if __name__ == '__main__':
    main()
