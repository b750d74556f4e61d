"""Streams on several processes with gloo, as torchrun starts them; see test_region_stream.py."""

from __future__ import annotations

import json
import sys
from operator import itemgetter

import torch.distributed as dist
from torch.utils.data import DataLoader

from mmdynamicvis.pretraining.region_stream import RegionStream

SETTINGS = dict(pipeline=[itemgetter('img_id')], shuffle_buffer=4)


def train(folder: str) -> list[list[list[str]]]:
    """Return the keys of two epochs by epoch, batch and sample."""
    dataset = RegionStream(folder, **SETTINGS)
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        collate_fn=list,
        multiprocessing_context='spawn',
    )
    epochs = []
    for epoch in range(2):
        dataset.set_progress(epoch, batches_done=0, batch_size=2)
        epochs.append(list(loader))
    return epochs


def refused(folder: str) -> str:
    """Return why a folder cannot be trained on."""
    try:
        RegionStream(folder, **SETTINGS)
    except ValueError as error:
        return str(error)
    return ''


def main() -> None:
    folder, single_shard = sys.argv[1:]
    dist.init_process_group('gloo')
    found = {
        'train': train(folder),
        'test': list(RegionStream(folder, test_mode=True, **SETTINGS)),
        'refused': refused(single_shard),
    }
    ranks = [None] * dist.get_world_size()
    dist.all_gather_object(ranks, found)
    if dist.get_rank() == 0:
        print(json.dumps(ranks))
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
