"""Trains on several processes with gloo, as torchrun starts them; see test_distributed.py."""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmdynamicvis import DynamicVis

OPTIONS = json.loads(sys.argv[1])
N_STEPS = 3


def build() -> DynamicVis:
    torch.manual_seed(0)
    arch = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))
    model = DynamicVis(arch, img_size=64, **OPTIONS).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # in train mode, what it normalizes by depends on the size of the batch
    return model


def train(model: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Take a few steps; return the gradients of the last."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(N_STEPS):
        optimizer.zero_grad()
        batch = images + 0.1 * step
        outputs = model(batch)
        ramps = [torch.linspace(-1, 1, x[0].numel()).view_as(x[0]) for x in outputs]
        sum((x * ramp).mean() for x, ramp in zip(outputs, ramps, strict=True)).backward()
        optimizer.step()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    rank, world_size = dist.get_rank(), dist.get_world_size()
    images = torch.randn(2 * world_size, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    model = build()
    own = images[2 * rank : 2 * rank + 2]
    grads = train(DistributedDataParallel(model), own)

    alone = build()
    for grad, expected in zip(grads, train(alone, images), strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-5)
    for parameter, expected in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-5)
    dist.barrier()
    if rank == 0:
        print('processes agree:', world_size)
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
