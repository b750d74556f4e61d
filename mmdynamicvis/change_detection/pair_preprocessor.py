"""Normalisation of stacked dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class PairDataPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` for the stacked images of two or more dates.

    Args:
        mean: Mean of each channel of one image, after the change to R, G, B if that is asked for.
        std: Standard deviation of each channel of one image.
        bgr_to_rgb: Turn the channels of each date round.
        **kwargs: The other arguments of mmseg's class; padding is in normalised units, so that 0 is
            the mean.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, a deviation is not positive, or an input
            has not the channels of whole images.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], bgr_to_rgb: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f'mean {mean} and std {std} must have a number per channel, std > 0')
        self.bgr_to_rgb = bgr_to_rgb
        self.register_buffer('date_mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('date_std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise, pad and stack ``data['inputs']``, each (dates x channels, H, W)."""
        data = self.cast_data(data)
        normalized = [self._normalize(image) for image in data['inputs']]
        return super().forward(dict(data, inputs=normalized), training)

    def _normalize(self, stack: Tensor) -> Tensor:
        channels = len(self.date_mean)
        if len(stack) % channels:
            raise ValueError(
                f'an input has {len(stack)} channels, mean and std have {channels}: give them for '
                'the channels of one image, and load pairs by LoadPair'
            )
        dates = stack.float().unflatten(0, (-1, channels))
        if self.bgr_to_rgb:
            dates = dates.flip(1)
        return ((dates - self.date_mean) / self.date_std).flatten(0, 1)
