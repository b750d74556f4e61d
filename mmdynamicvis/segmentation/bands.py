"""Normalisation of images with any number of bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class BandsDataPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` for any number of bands; the host's takes one or three.

    Args:
        mean: Mean of each band, in the units of the file.
        std: Standard deviation of each band.
        **kwargs: The other arguments of mmseg's class; padding is in normalised units, so that 0 is
            the mean.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, a deviation is not positive, or an image
            has another number of bands.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f'mean {mean} and std {std} must have one number per band, std > 0')
        self.register_buffer('band_mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('band_std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise, pad and stack ``data['inputs']``, each (bands, H, W)."""
        data = self.cast_data(data)
        for image in data['inputs']:
            if len(image) != len(self.band_mean):
                raise ValueError(
                    f'an image has {len(image)} bands, mean and std are of {len(self.band_mean)}. '
                    'Set bands of LoadGeoTIFF, mean and std to the same bands'
                )
        normalized = [(image.float() - self.band_mean) / self.band_std for image in data['inputs']]
        return super().forward(dict(data, inputs=normalized), training)
