"""Images and feature maps of several modalities of one place.

A modality is a sensor with its bands, for example Sentinel-1 or an aerial camera. A sample of a
batch may lack modalities, and may have several dates of one.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ModalityImages(NamedTuple):
    """The images of one modality in a batch, all of one size."""

    pixels: Tensor
    """(N, bands, H, W), normalized."""
    samples: Tensor
    """(N,) int64, the sample of each image, ascending; images of the same sample are its dates."""
    gsd: float
    """Ground sampling distance in meters per pixel."""
    bands: tuple[str, ...] | None = None
    """Names of the channels; None for all bands of the modality in its order."""


class MultiModalBatch(NamedTuple):
    """The input of a backbone for several modalities."""

    images: dict[str, ModalityImages]
    """Name of a modality -> its images; modalities that no sample has are left out."""
    size: int
    """Number of samples B."""


class ModalityMaps(NamedTuple):
    """The feature maps of one modality in a batch."""

    levels: tuple[Tensor, ...]
    """One (N, C_i, H_i, W_i) per output of the backbone."""
    cells: tuple[float, ...]
    """Meters per cell of each level."""
    samples: Tensor
    """(N,) int64, the sample of each map."""


class MultiModalFeatures(NamedTuple):
    """The output of a backbone for several modalities."""

    maps: dict[str, ModalityMaps]
    size: int
    """Number of samples B."""
