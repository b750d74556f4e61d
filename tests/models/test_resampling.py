from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from mmdynamicvis.models.resampling import resample


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_its_own_grid_returns_the_map():
    x = maps(2, 5, 4, 3)
    assert resample(x, 9.6, (5, 4), 9.6 * (1 + 1e-9)) is x


@pytest.mark.parametrize('factor', [2, 3])
def test_whole_factors_equal_pooling_and_bilinear_interpolation(factor):
    x = maps(2, 6, 12, 3)
    x_BCHW = x.permute(0, 3, 1, 2)
    smaller = resample(x, 10, (6 // factor, 12 // factor), 10 * factor)
    torch.testing.assert_close(smaller.permute(0, 3, 1, 2), avg_pool2d(x_BCHW, factor))
    larger = resample(x, 10, (6 * factor, 12 * factor), 10 / factor)
    expected = interpolate(x_BCHW, scale_factor=factor, mode='bilinear')
    torch.testing.assert_close(larger.permute(0, 3, 1, 2), expected)


def test_cells_are_weighted_by_their_overlap():
    """9.6 m to 10 m in one direction, cell by cell."""
    x = maps(1, 65, 1, 1)
    found = resample(x, 9.6, (62, 1), 10.0).flatten()
    for o in range(62):
        overlaps = [
            max(min((i + 1) * 9.6, (o + 1) * 10) - max(i * 9.6, o * 10), 0) for i in range(65)
        ]
        expected = sum(w * v for w, v in zip(overlaps, x.flatten().tolist(), strict=True)) / 10
        assert found[o].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize('new_cell', [4.0, 7.0, 10.0, 23.0])
def test_cells_beyond_the_edge_repeat_it(new_cell):
    x = maps(1, 3, 3, 2)
    n = int(30 / new_cell) + 4
    found = resample(x, 10, (n, n), new_cell)
    torch.testing.assert_close(found[:, -1, -1], x[:, -1, -1])
    torch.testing.assert_close(
        resample(torch.ones_like(x), 10, (n, n), new_cell).unique(), maps(1) * 0 + 1
    )


def test_a_smaller_grid_of_the_same_cells_is_a_crop():
    x = maps(1, 5, 5, 2)
    assert torch.equal(resample(x, 10, (4, 3), 10), x[:, :4, :3])


def test_autocast_keeps_the_dtype():
    x = torch.randn(1, 6, 6, 2)
    with torch.autocast('cpu', torch.bfloat16):
        found = resample(x, 10, (3, 3), 20)
    assert torch.equal(found, resample(x, 10, (3, 3), 20))
    assert found.dtype == torch.float32
