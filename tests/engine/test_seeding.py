from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from mmdynamicvis.engine import SeededDataset, seed_everything


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


class Folder(list):
    """A dataset that shows its arguments."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()
        self.arguments = arguments


def test_settings_replace_those_of_the_wrapped_dataset():
    inner = dict(type=Folder, data_root='a', prefix=dict(images='images', masks='masks'))
    dataset = SeededDataset(inner, seed=3, data_root='b', prefix=dict(images='pictures'))
    expected = dict(data_root='b', prefix=dict(images='pictures', masks='masks'))
    assert (dataset.arguments, dataset.seed) == (expected, 3)
    with pytest.raises(ValueError, match='data_root: the dataset is already built'):
        SeededDataset(Folder(), data_root='b')
