"""Normalization of images with any number of bands, of one date or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class BandsDataPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` for any number of bands; the host's takes one or three.

    Args:
        mean: Mean of each band of one image, in the units of the file, after the change to R, G, B
            if that is asked for.
        std: Standard deviation of each band of one image.
        bgr_to_rgb: Reverse the channel order of each image.
        num_dates: Images that are stacked in one input, as ``LoadPair`` does; each is normalized
            alike.
        **kwargs: Padding, as in mmseg's class; in normalized units, so that 0 is the mean.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, a deviation is not positive, or an input
            has another number of bands.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        bgr_to_rgb: bool = False,
        num_dates: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f'mean {mean} and std {std} must have one number per band, std > 0')
        self.bgr_to_rgb = bgr_to_rgb
        self.num_dates = num_dates
        self.register_buffer('band_mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('band_std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize, pad and stack ``data['inputs']``, each (dates x bands, H, W)."""
        data = self.cast_data(data)
        normalized = [self._normalize(image) for image in data['inputs']]
        return super().forward(dict(data, inputs=normalized), training)

    def _normalize(self, stack: Tensor) -> Tensor:
        bands = len(self.band_mean)
        if len(stack) != self.num_dates * bands:
            raise ValueError(
                f'an input has {len(stack)} bands, mean and std are of {bands}, and num_dates is '
                f'{self.num_dates}. Give mean and std for the bands of one image as it is loaded, '
                'and as num_dates how many images are stacked'
            )
        dates = stack.float().unflatten(0, (self.num_dates, bands))
        if self.bgr_to_rgb:
            dates = dates.flip(1)
        return ((dates - self.band_mean) / self.band_std).flatten(0, 1)
