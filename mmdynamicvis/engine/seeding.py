"""Random numbers that follow from what they are for, and not from what was drawn before."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS as ALL_DATASETS
from torch.utils.data import Dataset

from mmdynamicvis.registry import DATASETS


def seed_everything(*parts: int | str) -> None:
    """Seed random, numpy and torch (CPU, CUDA) from a hash of ``parts``.

    The same parts give the same numbers in every process and run.

    Called before a sample is augmented (seed, epoch, sample) and before a training step (seed,
    step, rank), it makes both independent of the number of workers and of interruptions.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, 'little')
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed asks for every kind of device, 0.15 ms, which is too long for every sample
    torch.default_generator.manual_seed(seed % 2**63)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed % 2**63)


class SampleIndex(int):
    """An index of a dataset that says in which pass over the dataset it was drawn.

    It goes to the loading processes with the index, so that it is right however far they are ahead.

    Args:
        index: Of a sample.
        epoch: Number of the pass.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int) -> SampleIndex:
        """Make the index."""
        self = super().__new__(cls, index)
        self.epoch = epoch
        return self

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.epoch)


def seed_sample(seed: int, index: int) -> None:
    """Seed what a sample is augmented with from the seed, the pass and the sample.

    An index that was not drawn by a sampler of ``mmdynamicvis`` does not tell the pass: nothing is
    seeded, since every pass would be augmented alike.
    """
    if isinstance(index, SampleIndex):
        seed_everything(seed, index.epoch, int(index))


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Any dataset, whose samples are augmented with random numbers of their own.

    They follow from the seed, the pass over the dataset and the sample, as
    ``mmdynamicvis.ExactResumeHook`` needs.

    Args:
        dataset: Config of a dataset with a ``pipeline``, or a built one.
        seed: Of the augmentations.
    """

    seeds_samples = True

    def __init__(self, dataset: dict | Dataset, seed: int = 0) -> None:
        self.dataset = ALL_DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        self.seed = seed

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the dataset says of its classes."""
        return getattr(self.dataset, 'metainfo', {})

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Load and augment a sample."""
        seed_sample(self.seed, index)
        return self.dataset[int(index)]
