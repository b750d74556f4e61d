"""Scenes of rectangles, seen through windows by a detector that misses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.merging import merge
from mmdynamicvis.scenes.outlines import box_outlines, mask_outlines

GRID = Grid(300, 400, 128, 32)
steady = settings(deadline=None, max_examples=60, derandomize=True)


def seen_in_tiles(shapes, labels, grid, noise=0.0):
    """Return what each tile sees: shapes cut by its ends, and how sure it is."""
    random = np.random.default_rng(0)
    found, of, scores, tiles = [], [], [], []
    for index in range(len(grid)):
        top, left, bottom, right = grid[index]
        window = shapely.box(left, top, right, bottom)
        for shape, label in zip(shapes, labels, strict=True):
            part = shapely.intersection(shape, window)
            if part.area > 4:
                shift = random.normal(0, noise, 2) if noise else np.zeros(2)
                found.append(shapely.transform(part, lambda xy, shift=shift: xy + shift))
                of.append(label)
                scores.append(random.uniform(0.3, 1))
                tiles.append(index)
    shapes = np.array([*found, None], dtype=object)[:-1]
    return shapes, np.array(of, int), np.array(scores), np.array(tiles, int)


def boxes(*corners):
    return box_outlines(np.array(corners, float).reshape(-1, 4))


@st.composite
def separate_boxes(draw):
    """Draw boxes that lie apart, each in a cell of 50 pixels."""
    cells = [(x, y) for x in range(0, 400, 50) for y in range(0, 300, 50)]
    corners = []
    for x, y in draw(st.lists(st.sampled_from(cells), unique=True, max_size=20)):
        left, top = x + draw(st.integers(1, 10)), y + draw(st.integers(1, 10))
        corners.append((left, top, left + draw(st.integers(8, 35)), top + draw(st.integers(8, 35))))
    return boxes(*corners)


@steady
@given(separate_boxes(), st.sampled_from([0, 16, 32, 64]), st.integers(70, 200))
def test_each_object_comes_once(shapes, overlap, tile):
    """Whole, unless no tile sees all of it and tiles do not overlap."""
    grid = Grid(300, 400, tile, min(overlap, tile // 2))
    labels = np.arange(len(shapes)) % 3
    merged, of, _ = merge(*seen_in_tiles(shapes, labels, grid), grid, 'boxes', 0.5)
    if grid.overlap >= 16:
        expected = sorted(zip(labels, shapely.to_wkt(shapely.normalize(shapes)), strict=True))
        got = sorted(zip(of, shapely.to_wkt(shapely.normalize(merged)), strict=True))
        assert got == expected
    else:
        assert shapely.union_all(merged).area == pytest.approx(shapely.union_all(shapes).area)


def test_positions_that_differ_a_little_between_tiles():
    shapes = boxes((100, 40, 125, 70), (110, 100, 140, 130), (200, 90, 230, 120))
    labels = np.array([0, 1, 0])
    seen = seen_in_tiles(shapes, labels, GRID, noise=0.5)
    merged, of, _ = merge(*seen, GRID, 'boxes', 0.5)
    assert sorted(of) == [0, 0, 1]
    for shape in shapes:
        agreement = shapely.area(shapely.intersection(shape, merged))
        agreement /= shapely.area(shapely.union(shape, merged))
        assert agreement.max() > 0.7


def test_objects_larger_than_the_overlap_are_put_together():
    large = boxes((20, 50, 390, 90))
    seen = seen_in_tiles(large, [0], GRID)
    merged, _, scores = merge(*seen, GRID, 'boxes', 0.5)
    assert shapely.equals(merged, large).tolist() == [True]
    assert scores.tolist() == [seen[2].max()]


def test_large_rotated_boxes_are_put_together_as_such():
    slanted = box_outlines(np.array([[200, 150, 330, 20, 0.4]]))
    seen = seen_in_tiles(slanted, [0], GRID)
    (merged,), _, _ = merge(*seen, GRID, 'rotated boxes', 0.5)
    assert len(merged.exterior.coords) == 5
    assert merged.intersection(slanted[0]).area / merged.union(slanted[0]).area > 0.99


def test_masks_are_joined_pixel_by_pixel():
    mask = np.zeros((300, 400), bool)
    rows, columns = np.mgrid[:300, :400]
    mask[(rows - 150) ** 2 + (columns - 200) ** 2 < 120**2] = True
    mask[140:160, 150:250] = False
    found, scores, tiles = [], [], []
    for index in range(len(GRID)):
        top, left, bottom, right = GRID[index]
        outline = mask_outlines(mask[None, top:bottom, left:right])[0]
        if not outline.is_empty:
            found.append(shapely.transform(outline, lambda xy, at=(left, top): xy + at))
            scores.append(0.5)
            tiles.append(index)
    seen = (np.array(found), np.zeros(len(found), int), np.array(scores), np.array(tiles))
    merged, _, _ = merge(*seen, GRID, 'masks', 0.5)
    (whole,) = mask_outlines(mask[None])
    assert len(merged) == 1
    assert shapely.equals(merged[0], whole)
    assert merged[0].area == mask.sum()


def test_neighbors_and_classes_stay_apart():
    # two ships side by side, and a harbour around one of them, all in the shared strip
    shapes = boxes((98, 20, 108, 60), (110, 20, 120, 60), (98, 20, 110, 64))
    seen = seen_in_tiles(shapes, [0, 0, 1], GRID)
    assert len(seen[0]) == 6
    _, of, _ = merge(*seen, GRID, 'boxes', 0.5)
    assert sorted(of) == [0, 0, 1]


def test_what_one_tile_finds_twice_is_left_to_the_model():
    shapes = boxes((10, 10, 40, 40), (11, 11, 40, 40))
    same = (shapes, np.zeros(2, int), np.array([0.5, 0.6]), np.zeros(2, int))
    assert len(merge(*same, GRID, 'boxes', 0.5)[0]) == 2


def test_a_whole_object_goes_before_a_cut_one_of_higher_score():
    whole, part = boxes((100, 10, 180, 40), (100, 10, 127, 40))
    seen = (np.array([part, whole]), np.zeros(2, int), np.array([0.9, 0.4]), np.array([0, 1]))
    # the second tile begins at 96
    (merged,), _, (score,) = merge(*seen, GRID, 'boxes', 0.5)
    assert merged.equals(whole)
    assert score == 0.4


def test_nothing_found():
    empty = (np.empty(0, object), np.empty(0, int), np.empty(0), np.empty(0, int))
    assert [len(part) for part in merge(*empty, GRID, 'boxes', 0.5)] == [0, 0, 0]


def test_outlines_of_boxes_and_masks():
    (straight, turned) = box_outlines(np.array([[10, 20, 8, 4, 0], [10, 20, 8, 4, np.pi / 2]]))
    assert straight.bounds == (6, 18, 14, 22)
    np.testing.assert_allclose(turned.bounds, (8, 16, 12, 24))
    assert straight.area == pytest.approx(turned.area) == pytest.approx(32)
    masks = np.zeros((3, 6, 6), bool)
    masks[0, 1:5, 1:5] = True
    masks[0, 2, 2] = False
    masks[1, 0, 0] = masks[1, 5, 5] = True
    ring, two, none = mask_outlines(masks)
    assert (ring.area, len(ring.geoms[0].interiors)) == (15, 1)
    assert (two.area, len(two.geoms)) == (2, 2)
    assert none.is_empty
