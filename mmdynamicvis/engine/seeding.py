"""Random numbers that depend on what they are used for, and not on earlier draws."""

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

    The same parts give the same random numbers in every process and run. Calling this before a
    sample is augmented (seed, epoch, sample) and before a training step (seed, step, rank) makes
    both independent of the number of workers and of interruptions.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, 'little')
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed queries every type of device, 0.15 ms, which is too slow for every sample
    torch.default_generator.manual_seed(seed % 2**63)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed % 2**63)


class SampleIndex(int):
    """A dataset index that carries the number of the pass over the dataset.

    The number is sent to the worker processes with the index, so it is correct however far they
    prefetch.

    Args:
        index: Index of a sample.
        epoch: Number of the pass.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int) -> SampleIndex:
        """Create the index."""
        self = super().__new__(cls, index)
        self.epoch = epoch
        return self

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.epoch)


def seed_sample(seed: int, index: int) -> None:
    """Seed the augmentation of a sample from the seed, the pass and the index of the sample.

    An index that was not drawn by a sampler of ``mmdynamicvis`` does not carry the pass. Then
    nothing is seeded, because every pass would get the same augmentation.
    """
    if isinstance(index, SampleIndex):
        seed_everything(seed, index.epoch, int(index))


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Wraps a dataset and seeds the augmentation of each sample.

    The seed of a sample depends on ``seed``, the pass over the dataset and the index of the sample,
    as ``mmdynamicvis.ExactResumeHook`` requires.

    Args:
        dataset: Config of a dataset with a ``pipeline``, or a dataset.
        seed: Seed of the augmentations.
        **settings: Arguments that replace those in the dataset's config, dicts key by key. So
            configs may change ``train_dataloader.dataset.data_root`` whether or not the dataset is
            wrapped.

    Raises:
        ValueError: There are settings, and the dataset is not a config.
    """

    seeds_samples = True

    def __init__(self, dataset: dict | Dataset, seed: int = 0, **settings: Any) -> None:
        if settings:
            dataset = _replaced(dataset, settings)
        self.dataset = ALL_DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        self.seed = seed

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metainfo of the wrapped dataset."""
        return getattr(self.dataset, 'metainfo', {})

    def __getattr__(self, name: str) -> Any:
        """Look up in the wrapped dataset what hooks and samplers ask of it (``get_data_info``)."""
        if name == 'dataset':  # not set yet, in a copy or in a worker process
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Load and augment a sample."""
        seed_sample(self.seed, index)
        return self.dataset[int(index)]


def _replaced(dataset: dict | Dataset, settings: dict[str, Any]) -> dict:
    if not isinstance(dataset, dict):
        raise ValueError(
            f'{", ".join(settings)}: the dataset is already built, it takes no settings'
        )
    merged = dict(dataset)
    for name, value in settings.items():
        old = merged.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = {**old, **value} if both else value
    return merged
