"""Position embedding in meters instead of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 10.0
"""Meters that one position is long (G of Scale-MAE, arXiv 2212.14532)."""
BASE = 10_000.0


def metric_position(like_BLC: Tensor, grid: tuple[int, int], cell: float) -> Tensor:
    """Return the embedding (L, C) of the tokens of a grid, from the place of their centers.

    A token in row r is at p = (r + 1/2) cell / 10 m from the upper edge, and has the channels
    sin(p / 10000^(4 i / C)) and cos(p / 10000^(4 i / C)) for i = 0, ..., C / 4 - 1. The other half
    of the channels is the same for its column. Scale-MAE has r g / G instead, with the ground
    sampling distance g; at centers, sensors agree on where a place is.

    Args:
        like_BLC: Tokens, of which it takes the channels, dtype and device.
        grid: Height and width of the grid, L = H * W, in row-major order.
        cell: Side of a token in meters.
    """
    height, width = grid
    quarter = like_BLC.shape[-1] // 4
    order_I = torch.arange(quarter, device=like_BLC.device, dtype=torch.float32)
    frequency_I = BASE ** (-order_I / quarter)

    def waves(count: int) -> Tensor:
        place_N = torch.arange(count, device=like_BLC.device, dtype=torch.float32) + 0.5
        angle_NI = place_N[:, None] * (cell / UNIT) * frequency_I
        return torch.cat([angle_NI.sin(), angle_NI.cos()], dim=1)

    rows_HWC = waves(height)[:, None].expand(-1, width, -1)
    columns_HWC = waves(width)[None].expand(height, -1, -1)
    return torch.cat([rows_HWC, columns_HWC], dim=2).flatten(0, 1).to(like_BLC.dtype)
