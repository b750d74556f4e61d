"""Resampling of maps between grids whose cells have known sizes in meters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmdynamicvis.ops.autocast import outside_autocast


def resample(x_NHWC: Tensor, cell: float, grid: tuple[int, int], new_cell: float) -> Tensor:
    """Resample maps to another grid with the same upper left corner.

    Larger cells get the mean over their area, smaller ones are interpolated bilinearly between
    centers. Cells beyond the edge of the map repeat it. The map is returned as it is if the grid is
    its own.

    Args:
        x_NHWC: Maps (N, H, W, C), floating.
        cell: Edge of a cell of the maps in meters.
        grid: Height and width of the result.
        new_cell: Edge of a cell of the result in meters.

    Returns:
        Maps (N, height, width, C) of the same dtype.
    """
    N, H, W, C = x_NHWC.shape
    same = math.isclose(cell, new_cell, rel_tol=1e-6)
    if same and grid == (H, W):
        return x_NHWC
    if same:
        new_cell = cell
    # Products with matrices, not torch's interpolation, whose area mode does not weight cells by
    # their overlap, and whose gradients are not deterministic on a GPU.
    rows_HH = _weights(H, grid[0], new_cell / cell, x_NHWC)
    columns_WW = _weights(W, grid[1], new_cell / cell, x_NHWC)
    with outside_autocast(x_NHWC):
        x_NHWC = (rows_HH @ x_NHWC.flatten(2)).view(N, grid[0], W, C)
        return columns_WW @ x_NHWC


def _weights(n_in: int, n_out: int, ratio: float, like: Tensor) -> Tensor:
    """Return the weights (n_out, n_in) of input cells; ratio is that of the edges, out to in."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    i = torch.arange(n_in, device=like.device, dtype=dtype)
    o = torch.arange(n_out, device=like.device, dtype=dtype)[:, None]
    if ratio > 1:
        start, end = (o * ratio).clamp(max=n_in - 1), (o + 1) * ratio
        overlap = (torch.minimum(end, i + 1) - torch.maximum(start, i)).clamp(min=0)
        weights = overlap / overlap.sum(1, keepdim=True)
    else:
        center = ((o + 0.5) * ratio - 0.5).clamp(0, n_in - 1)
        weights = (1 - (center - i).abs()).clamp(min=0)
    return weights.to(like.dtype)
