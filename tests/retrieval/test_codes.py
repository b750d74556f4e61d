from __future__ import annotations

import pytest
import torch

from mmdynamicvis.retrieval import binarize, trivial_hash


def test_signs() -> None:
    vectors = torch.tensor([[-1.0, 0.0, 1e-9], [2.0, -0.0, -3.0]])
    assert binarize(vectors).tolist() == [[False, False, True], [True, False, False]]


def test_bits_are_of_channels_that_lie_apart() -> None:
    vectors = torch.tensor([[3.0, -1.0, -2.0, 2.0], [-3.0, -1.0, 2.0, 2.0]])
    # means of channels 0 and 2, of 1 and 3
    assert trivial_hash(vectors, bits=2).tolist() == [[True, True], [False, True]]


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match='100 channels cannot be divided into 64'):
        trivial_hash(torch.zeros(1, 100))
