from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdynamicvis import DynamicVis
from mmdynamicvis.visualization import draw_selected_tokens, show_selected_tokens


def lit_cells(picture, grid):
    """Cells of the grid that are in color; those left out are gray."""
    height, width = picture.shape[:2]
    colored = np.ptp(picture.astype(int), axis=2) > 0
    rows, columns = np.arange(height) * grid[0] // height, np.arange(width) * grid[1] // width
    cells = rows[:, None] * grid[1] + columns
    lit = []
    for cell in range(grid[0] * grid[1]):
        inside = colored[cells == cell]
        assert inside.all() or not inside.any(), f'cell {cell} is lit in part'
        if inside.all():
            lit.append(cell)
    return lit


@pytest.mark.parametrize(
    ('shape', 'grid'),
    [((32, 32), (4, 4)), ((64, 96), (2, 3)), ((33, 70), (9, 18)), ((47, 31), (12, 8))],
)
def test_exactly_the_selected_cells_are_lit(shape, grid):
    rng = np.random.default_rng(0)
    image = np.full((*shape, 3), 160, np.uint8)
    tokens = grid[0] * grid[1]
    indices = rng.permutation(tokens)[: tokens // 3 + 1]
    picture = draw_selected_tokens(image, indices, rng.random(tokens), grid)
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    assert lit_cells(picture, grid) == sorted(indices.tolist())


def test_the_rest_is_dimmed_and_gray():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 240
    picture = draw_selected_tokens(image, [0], [1.0, 0, 0, 0], (2, 2))
    # The mean of 240, 0 and 0 is 80; 40 % of it are left.
    assert (picture[4:, 4:] == 32).all()
    assert (image[..., 0] == 240).all(), 'the image itself must not change'


def test_more_important_tokens_are_brighter():
    importance = np.array([0.7, 0.1, 0.001, 0.199])
    image = np.full((8, 8, 3), 100, np.uint8)
    picture = draw_selected_tokens(image, [0, 3, 1, 2], importance, (2, 2)).mean(axis=2)
    brightness = [picture[0, 0], picture[0, 4], picture[4, 0], picture[4, 4]]
    assert np.argsort(brightness).tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize('size', [(64, 64), (65, 97), (33, 130)])
def test_selections_of_the_backbone_are_drawn(size):
    torch.manual_seed(0)
    model = DynamicVis('tiny', img_size=64, reduction_ratios=(7 / 8, 3 / 4, None, 0)).eval()
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        _, selections = model.forward_with_selection(images)
    pictures = [np.full((*size, 3), 150, np.uint8), np.full((*size, 3), 90, np.uint8)]
    for stage in (selections[0], selections[1], selections[3]):
        for i, picture in enumerate(pictures):
            drawn = draw_selected_tokens(picture, stage.indices[i], stage.importance[i], stage.grid)
            assert lit_cells(drawn, stage.grid) == sorted(stage.indices[i].tolist())

    figure = show_selected_tokens(pictures, selections, ['one', 'two'], ['green', 'red'])
    assert figure.dtype == np.uint8
    assert figure.shape[2] == 3
    flat = figure.reshape(-1, 3)
    # Both images, the heat's brightest yellow and both colors of the titles are in it.
    assert (flat == 150).all(axis=1).any()
    assert (flat == 90).all(axis=1).any()
    assert ((flat[:, 0] > 150) & (flat[:, 2] < 150)).any()
    assert (flat == [255, 0, 0]).all(axis=1).any()
    assert (flat == [0, 128, 0]).all(axis=1).any()


IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((IMAGE[..., 0], [0], np.ones(4), (2, 2)), r'image is uint8 \(8, 8\)'),
        ((IMAGE.astype(float), [0], np.ones(4), (2, 2)), 'image is float64'),
        ((IMAGE, [0.5], np.ones(4), (2, 2)), 'indices are float64'),
        ((IMAGE, [[0]], np.ones(4), (2, 2)), r'indices are int64 \(1, 1\)'),
        ((IMAGE, [0], np.ones(5), (2, 2)), r'importance has shape \(5,\).*2 x 2'),
        ((IMAGE, [1, 4], np.ones(4), (2, 2)), 'from 1 to 4.*tokens 0 to 3'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_selected_tokens(*arguments)


def test_counts_must_agree():
    with pytest.raises(ValueError, match=r'as images \(1\), got \[2, 1\]'):
        show_selected_tokens([IMAGE], [None], ['one', 'two'])
