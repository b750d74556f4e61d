"""Position embedding in meters."""

from __future__ import annotations

import math

import pytest
import torch

from mmdynamicvis.models.metric_position import metric_position


def test_it_is_the_formula() -> None:
    cell, channels = 2.4, 16
    actual = metric_position(torch.zeros(1, 15, channels), (3, 5), cell)
    expected = []
    for row in range(3):
        for column in range(5):
            token = []
            for place in (row, column):
                angles = [
                    (place + 0.5) * cell / 10 / 10_000 ** (4 * i / channels)
                    for i in range(channels // 4)
                ]
                token += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            expected.append(token)
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize('scale', [2, 8])
def test_it_depends_on_the_place_alone(scale: int) -> None:
    """A coarse token has the embedding of its center, between the fine ones there."""
    like = torch.zeros(1, 1, 8, dtype=torch.float64)
    coarse = metric_position(like, (2, 2), 10.0)
    odd = scale + 1  # so that a fine token has the same center
    fine = metric_position(like, (2 * odd, 2 * odd), 10.0 / odd).unflatten(0, (2 * odd,) * 2)
    centers = fine[odd // 2 :: odd, odd // 2 :: odd].flatten(0, 1)
    torch.testing.assert_close(coarse, centers, rtol=0, atol=1e-5)
    assert coarse.dtype == torch.float64
