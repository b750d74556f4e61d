"""Sequences in which the tokens of several dates meet in one Mamba mixer (ChangeMamba)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmdynamicvis.models.mamba_mixer import MambaMixer

DateOrder = Literal['concat', 'interleave', 'side_by_side']


class DateMixer(nn.Module):
    """Joins the maps of several dates to one map and mixes its tokens: x + mixer(norm(x)).

    The three orders of ChangeMamba (arXiv 2404.03425), which calls them parallel,
    cross and sequential modeling. The mixer scans the joined map row by row, forward and in
    reverse; ChangeMamba's block scans it column by column, too, and has a feed-forward network.

    =============== ========================= ===========================
    order           joined map                tokens of D dates, H x W
    =============== ========================= ===========================
    'concat'        channels, then 1 x 1      H W
                    convolution of D C to C
    'interleave'    columns of the dates      D H W
                    alternate
    'side_by_side'  dates next to each other  D H W
    =============== ========================= ===========================

    Args:
        channels: Number of channels C of every map.
        num_dates: Number of dates D.
        order: How the maps are joined.
    """

    def __init__(self, channels: int, num_dates: int, order: DateOrder) -> None:
        super().__init__()
        if order not in get_args(DateOrder):
            raise ValueError(f'order is {order!r}; choose one of {get_args(DateOrder)}')
        self.num_dates = num_dates
        self.order = order
        self.join = nn.Conv2d(num_dates * channels, channels, 1) if order == 'concat' else None
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mixer = MambaMixer(channels)

    @property
    def num_maps(self) -> int:
        """Number of maps that it returns: 1 for 'concat', else one per date."""
        return 1 if self.order == 'concat' else self.num_dates

    def forward(self, maps_BCHW: Sequence[Tensor]) -> list[Tensor]:
        """Return ``num_maps`` maps (B, C, H, W), given one (B, C, H, W) per date."""
        if self.order == 'concat':
            return [self._mix(self.join(torch.cat(tuple(maps_BCHW), 1)))]
        # unflatten, not slices or chunk, with which torch.export would fix the width
        if self.order == 'interleave':
            mixed_BCHW = self._mix(torch.stack(tuple(maps_BCHW), 4).flatten(3))
            return list(mixed_BCHW.unflatten(3, (-1, self.num_dates)).unbind(4))
        mixed_BCHW = self._mix(torch.cat(tuple(maps_BCHW), 3))
        return list(mixed_BCHW.unflatten(3, (self.num_dates, -1)).unbind(3))

    def _mix(self, x_BCHW: Tensor) -> Tensor:
        tokens_BLC = x_BCHW.flatten(2).transpose(1, 2)
        tokens_BLC = tokens_BLC + self.mixer(self.norm(tokens_BLC))
        return tokens_BLC.transpose(1, 2).unflatten(2, x_BCHW.shape[2:])
