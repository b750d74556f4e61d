"""Trains a region pretrainer on several processes with gloo; see test_gather.py."""

from __future__ import annotations

import torch
import torch.distributed as dist
from regions import batch, build  # beside this script
from torch.nn.parallel import DistributedDataParallel

# boxes per image, two images per process: uneven, and none at all in the second process
COUNTS = [3, 1, 0, 0, 5, 2]


def gradients(model: torch.nn.Module, data: dict) -> tuple[dict, list[torch.Tensor]]:
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # in train mode, what it normalizes by depends on the size of the batch
    losses = model(**data, mode='loss')
    sum(losses.values()).backward()
    return losses, [p.grad for p in model.parameters()]


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    rank, world_size = dist.get_rank(), dist.get_world_size()
    joint = batch(COUNTS[: 2 * world_size])
    joint['inputs'] = joint['inputs'].double()
    for sample in joint['data_samples']:
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()
    own = slice(2 * rank, 2 * rank + 2)

    torch.set_default_dtype(torch.float64)
    model = DistributedDataParallel(build().double())
    losses, found = gradients(model, {name: value[own] for name, value in joint.items()})

    # a group of one for the joint batch: gather_rows then returns what it is given
    dist.destroy_process_group()
    expected_losses, expected = gradients(build().double(), joint)
    for name, loss in expected_losses.items():
        torch.testing.assert_close(losses[name], loss, rtol=1e-6, atol=1e-6)
    for gradient, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-6, atol=1e-6)
    if rank == 0:
        print('processes agree:', world_size)


if __name__ == '__main__':
    main()
