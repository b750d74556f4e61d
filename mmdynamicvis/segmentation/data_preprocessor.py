"""Normalization of images with any number of bands and one or several dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from torch import Tensor
from torch.nn import functional

from mmdynamicvis.registry import MODELS

PADDED_BY_MMSEG = ('gt_sem_seg', 'gt_edge_map', 'gt_depth_map')


@MODELS.register_module()
class BandsDataPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` for any number of bands; mmseg's supports one or three.

    Args:
        mean: Mean of each band of one image, in the units of the file and in the channel order
            after ``bgr_to_rgb``.
        std: Standard deviation of each band of one image, likewise.
        bgr_to_rgb: Reverse the channel order of each image.
        num_dates: Number of images stacked in one input, as by ``LoadPair``; all are normalized
            alike.
        **kwargs: Arguments of mmseg's class for padding. Padding values are in normalized units,
            so 0 is the mean.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, a standard deviation is not positive, or
            an input has a wrong number of bands.
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
        """Normalize, pad and stack ``data['inputs']``, each (dates x bands, H, W).

        In training, label maps ``gt_NAME`` of the samples are padded like ``gt_sem_seg``.
        """
        data = self.cast_data(data)
        normalized = [self._normalize(image) for image in data['inputs']]
        data = super().forward(dict(data, inputs=normalized), training)
        for sample in data['data_samples'] if training else ():
            for key in sample.keys():  # noqa: SIM118  (iterates over names only by keys())
                if key.startswith('gt_') and key not in PADDED_BY_MMSEG:
                    labels = functional.pad(
                        sample.get(key).data, sample.padding_size, value=self.seg_pad_val
                    )
                    sample.set_data({key: PixelData(data=labels)})
        return data

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
