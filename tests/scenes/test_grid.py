from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdynamicvis.scenes.grid import Box, Grid

steady = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def grids(draw):
    tile = draw(st.integers(1, 40))
    sizes = st.integers(1, 150)
    return Grid(draw(sizes), draw(sizes), tile, draw(st.integers(0, tile // 2)))


@steady
@given(grids())
def test_tiles_cover_the_scene_and_lie_in_it(grid):
    covered = np.zeros((grid.height, grid.width), int)
    for index in range(len(grid)):
        box = grid[index]
        assert 0 <= box.top < box.bottom <= grid.height
        assert 0 <= box.left < box.right <= grid.width
        assert box.shape == (min(grid.tile, grid.height), min(grid.tile, grid.width))
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.min() >= 1
    for starts in (grid.tops, grid.lefts):
        steps = [after - before for before, after in pairwise(starts)]
        assert all(0 < step <= grid.tile - grid.overlap for step in steps)


@steady
@given(grids(), st.data())
def test_tiles_over_a_box(grid, data):
    top = data.draw(st.integers(0, grid.height - 1))
    left = data.draw(st.integers(0, grid.width - 1))
    bottom = data.draw(st.integers(top + 1, grid.height))
    box = Box(top, left, bottom, data.draw(st.integers(left + 1, grid.width)))
    assert grid.over(box) == [i for i in range(len(grid)) if grid[i].overlaps(box)]


@steady
@given(grids(), st.integers(1, 60))
def test_blocks_cut_the_scene(grid, side):
    pixels = np.zeros((grid.height, grid.width), int)
    for row in grid.block_rows(side):
        for box in row:
            pixels[box.inside(Box(0, 0, *pixels.shape))] += 1
    assert (pixels == 1).all()


def test_shared_pixels():
    a, b = Box(0, 0, 10, 10), Box(4, 6, 20, 30)
    shared = a.shared_with(b)
    assert shared == Box(4, 6, 10, 10)
    assert shared.inside(b) == (slice(0, 6), slice(0, 4))
    assert not a.overlaps(Box(10, 0, 20, 10))


@pytest.mark.parametrize(
    ('tile', 'overlap', 'message'),
    [
        (0, 0, 'tile is 0; give the pixels of its side'),
        (-3, 0, 'tile is -3'),
        (64, 33, 'overlap is 33; give 0 to 32, half of tile=64'),
        (64, -1, 'overlap is -1'),
    ],
)
def test_impossible_grids(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        Grid(100, 100, tile, overlap)
