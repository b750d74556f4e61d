"""Random numbers that follow from what they are for, and not from what was drawn before."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


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
