"""Normalization and batching of images of several modalities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmdynamicvis.band_names import spelling
from mmdynamicvis.data.modalities import SAME_GSD, ModalitySample, Reading
from mmdynamicvis.models.modalities import ModalityImages, MultiModalBatch
from mmdynamicvis.registry import MODELS


class _Statistics(nn.Module):
    """Mean, standard deviation and unit of the bands of a modality."""

    def __init__(
        self,
        name: str,
        mean: Sequence[float],
        std: Sequence[float],
        unit: str,
        bands: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        numbers = [*mean, *std]
        if not len(mean) == len(std) == len(bands or mean) or not all(map(math.isfinite, numbers)):
            raise ValueError(
                f'mean {mean}, std {std} and bands {bands} of {name} must have one value per band'
            )
        if min(std) <= 0:
            raise ValueError(f'std {std} of {name} must be positive')
        self.name, self.unit = name, unit
        self.bands = None if bands is None else [spelling(band) for band in bands]
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor, reading: Reading) -> Tensor:
        """Normalize (N, bands, H, W); pixels that are not finite become 0, the mean."""
        mean, std = self.mean, self.std
        if self.bands is not None and reading.bands is not None:
            mean, std = (statistic[self._places(reading.bands)] for statistic in (mean, std))
        if images.shape[1] != len(mean):
            raise ValueError(
                f'images of {self.name} have {images.shape[1]} bands, its mean and std '
                f'{len(mean)}. Give those of the bands that are loaded, in their order'
            )
        normalized = (images - mean) / std
        return torch.where(normalized.isfinite(), normalized, 0.0)

    def _places(self, bands: Sequence[str]) -> list[int]:
        if unknown := [band for band in bands if spelling(band) not in self.bands]:
            raise ValueError(
                f'mean and std of {self.name} are of the bands {self.bands}, not of {unknown}, '
                'which are loaded'
            )
        return [self.bands.index(spelling(band)) for band in bands]


@MODELS.register_module()
class ModalityPreprocessor(BaseDataPreprocessor):
    """Normalize the images of each modality and stack them to a ``MultiModalBatch``.

    Pixels without data become 0, which is the mean. The dates of a sample are several rows of it;
    a modality that a sample lacks has no row of it, and one that all samples lack no entry. For
    any host whose pipeline ends with ``PackModalities``.

    Args:
        modalities: Modality -> ``mean`` and ``std`` per band in the order in which bands are
            loaded, and ``unit``, the one in which they are. With ``bands``, their names, the
            statistics of the bands that a loader names are found by name.
        batch_augments: None. mmpretrain's classifiers pass their mixup, which mixes one image.
        non_blocking: As in mmengine's class.

    Raises:
        ValueError: Statistics are not one positive number per band or are of other bands; images
            are of a modality that has none, or in another unit; or the images of a modality differ
            in size, in ground sampling distance (by more than 1 %), in unit or in bands.
        TypeError: The pipeline does not end with ``PackModalities``.
    """

    def __init__(
        self,
        modalities: Mapping[str, Mapping[str, Any]],
        batch_augments: Any = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if batch_augments is not None:
            raise ValueError(
                f'batch_augments is {batch_augments}: images of several modalities are not mixed. '
                'Set train_cfg of the model to None'
            )
        # a list, because names of modules may not contain dots
        self.statistics = nn.ModuleList(
            _Statistics(name, **dict(settings)) for name, settings in modalities.items()
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize and stack.

        Args:
            data: ``inputs``, one :class:`~mmdynamicvis.data.modalities.ModalitySample` per sample,
                and ``data_samples``, which are kept.
            training: Not used.

        Returns:
            ``inputs``, a :class:`~mmdynamicvis.models.modalities.MultiModalBatch` of float32
            tensors, and ``data_samples``, all on the device of the preprocessor.
        """
        samples = data['inputs']
        for sample in samples:
            if not isinstance(sample, ModalitySample):
                raise TypeError(
                    f'an input is a {type(sample).__name__}. For ModalityPreprocessor, pipelines '
                    'end with PackModalities, and dataloaders have collate_fn=dict(type='
                    "'pseudo_collate')"
                )
        known = [statistics.name for statistics in self.statistics]
        if unknown := {name for sample in samples for name in sample.images} - set(known):
            raise ValueError(
                f'images are of {sorted(unknown)}, the preprocessor has mean and std of {known}'
            )
        found = {stats.name: self._images(stats, samples) for stats in self.statistics}
        images = {name: of_name for name, of_name in found.items() if of_name is not None}
        batch = MultiModalBatch(images, len(samples))
        return dict(data, inputs=batch, data_samples=self.cast_data(data.get('data_samples')))

    def _images(
        self, statistics: _Statistics, samples: Sequence[ModalitySample]
    ) -> ModalityImages | None:
        name = statistics.name
        rows = [(i, date) for i, s in enumerate(samples) for date in s.images.get(name, ())]
        if not rows:
            return None
        readings = [s.readings[name] for s in samples if s.images.get(name)]
        first = readings[0]
        _check_alike(name, statistics.unit, readings, [date for _, date in rows])
        pixels = self.cast_data(torch.stack([date for _, date in rows])).float()
        indices = torch.tensor([i for i, _ in rows], device=pixels.device)
        return ModalityImages(statistics(pixels, first), indices, first.gsd, first.bands)


def _check_alike(
    name: str, unit: str, readings: Sequence[Reading], dates: Sequence[Tensor]
) -> None:
    first = readings[0]
    for reading in readings:
        if reading.unit != unit:
            raise ValueError(
                f'mean and std of {name} are in {unit!r}, its images in {reading.unit!r}. Load '
                'them in that unit, or give the statistics of the other'
            )
        if reading.bands != first.bands:
            raise ValueError(
                f'a batch has the bands {first.bands} and {reading.bands} of {name}. Samples of a '
                'batch need the same'
            )
        if not math.isclose(reading.gsd, first.gsd, rel_tol=SAME_GSD):
            raise ValueError(
                f'a batch has images of {name} at {first.gsd:g} and {reading.gsd:g} m per pixel. '
                'Samples of a batch need the same: batch_size=1, or a dataset of one resolution'
            )
    if len(sizes := {tuple(date.shape) for date in dates}) > 1:
        raise ValueError(
            f'a batch has images of {name} of the sizes {sorted(sizes)} (bands, height, width). '
            'Crop them to one, as by RandomFootprintCrop, or use batch_size=1'
        )
