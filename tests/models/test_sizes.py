"""Images of any size and number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


def assert_sizes(outputs: tuple, n_batch: int, height: int, width: int) -> None:
    for output, channels, stride in zip(outputs, (16, 24, 32, 48), (4, 8, 16, 32), strict=True):
        assert output.shape == (n_batch, channels, -(-height // stride), -(-width // stride))
        assert output.isfinite().all()


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(1, 3), st.integers(32, 97), st.integers(32, 97))
def test_strides_are_4_8_16_32(
    build: Callable, make_images: Callable, n_batch: int, height: int, width: int
) -> None:
    model = build().eval()
    with torch.no_grad():
        assert_sizes(model(make_images(n_batch, 3, height, width)), n_batch, height, width)


@pytest.mark.parametrize('size', [(32, 32), (32, 333), (97, 33), (160, 131)])
@pytest.mark.parametrize('options', [{}, dict(reduction_ratios=None, scan_mode='gate')])
def test_extreme_sizes_train(
    build: Callable, make_images: Callable, size: tuple[int, int], options: dict
) -> None:
    model = build(**options).train()
    outputs = model(make_images(2, 3, *size))
    assert_sizes(outputs, 2, *size)
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_images_of_a_batch_do_not_see_each_other(build: Callable, make_images: Callable) -> None:
    # In float64 no two scores are so close that rounding decides which comes first.
    model, images = build().eval().double(), make_images(3, 3, 70, 45).double()
    together = model(images)
    for i in range(3):
        for alone, expected in zip(model(images[i : i + 1]), together, strict=True):
            torch.testing.assert_close(alone, expected[i : i + 1])


def test_selection_at_any_size(build: Callable, make_images: Callable) -> None:
    model = build(reduction_ratios=(7 / 8, None, 1 / 2, 0)).eval()
    outputs, selections = model.forward_with_selection(make_images(2, 3, 45, 70))
    assert len(outputs) == 4
    assert selections[1] is None
    grids = [(12, 18), None, (3, 5), (2, 3)]
    for selection, grid, rate in zip(selections, grids, (8, None, 2, 1), strict=True):
        if selection is None:
            continue
        length = grid[0] * grid[1]
        assert selection.grid == grid
        assert selection.indices.shape == (2, length // rate)
        assert selection.importance.shape == (2, length)
        torch.testing.assert_close(selection.importance.sum(1), torch.ones(2))
        chosen = selection.importance.gather(1, selection.indices)
        assert (selection.indices.diff(dim=1) > 0).all()
        left_out = selection.importance.scatter(1, selection.indices, 0)
        assert (left_out.amax(1) <= chosen.amin(1)).all()
