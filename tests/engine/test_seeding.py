from __future__ import annotations

import random

import numpy as np
import torch

from mmdynamicvis.engine import seed_everything


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_numbers_follow_from_the_parts_alone():
    seed_everything(3, 'image', 7)
    first = draw()
    draw()
    seed_everything(3, 'image', 7)
    assert draw() == first


def test_parts_are_not_mixed_up():
    seen = set()
    for parts in [(1, 23), (12, 3), ('1', 23), (1, 23, 0), (0, 1, 23), (2**40, 1)]:
        seed_everything(*parts)
        seen.add(draw())
    assert len(seen) == 6
