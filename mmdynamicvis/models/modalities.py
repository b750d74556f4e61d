"""Modalities, and their images and feature maps of one place.

A modality is a sensor with its bands, for example Sentinel-1 or an aerial camera. A sample of a
batch may lack modalities, and may have several dates of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor, nn

from mmdynamicvis.models.stem_bands import check_names

TOLERANCE = 1e-3
"""Relative, of cells that are compared: rasters round their ground sampling distance."""


class Modality(NamedTuple):
    """A sensor that the backbone takes."""

    bands: tuple[str, ...]
    """Names of its bands."""
    gsd: float
    """Ground sampling distance of its images, in meters per pixel, in general."""
    unit: str | None = None
    """Unit of its values before they are normalized; the backbone does not use it."""
    patch_size: int | None = None
    stride: int | None = None


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


def parse_modalities(
    modalities: Mapping[str, Mapping[str, Any]] | None, primary: str | None
) -> dict[str, Modality]:
    """Return the modalities, the primary one first, the others by name."""
    if not modalities:
        raise ValueError(
            f'modalities is {modalities!r}; give their names and settings, such as '
            "dict(rgb=dict(bands=('red', 'green', 'blue'), gsd=0.3))"
        )
    if primary is None and len(modalities) == 1:
        (primary,) = modalities
    if primary not in modalities:
        raise ValueError(
            f'primary is {primary!r}; name one of the modalities {", ".join(modalities)}: it gets '
            'the stem of DynamicVis'
        )
    parsed = {}
    for name in [primary, *sorted(set(modalities) - {primary})]:
        settings = modalities[name]
        if not name or '.' in name or hasattr(nn.ModuleDict(), name):
            raise ValueError(f'a modality has the name {name!r}; choose another, such as sentinel2')
        where = f'modalities[{name!r}]'
        unknown = set(settings) - set(Modality._fields)
        missing = {'bands', 'gsd'} - set(settings)
        if unknown or missing:
            raise ValueError(
                f'{where} has {", ".join(settings)}; need bands and gsd, and may have unit, '
                'patch_size and stride'
            )
        check_names(settings['bands'])
        modality = Modality(**{**settings, 'bands': tuple(settings['bands'])})
        if not is_length(modality.gsd):
            raise ValueError(f'{where} has gsd={modality.gsd!r}; give meters per pixel')
        _, _, _, patch_size, stride = modality
        if name == primary and (patch_size, stride) != (None, None):
            raise ValueError(
                f'{where} is the primary one: its patch size and stride are the first of '
                'patch_sizes and strides'
            )
        if patch_size is not None and (patch_size < 1 or patch_size % 2 == 0):
            raise ValueError(f'{where} has patch_size={patch_size}; it must be odd')
        if stride is not None and stride < 1:
            raise ValueError(f'{where} has stride={stride}; it must be positive')
        parsed[name] = modality
    return parsed


def check_footprints(images: Mapping[str, ModalityImages]) -> None:
    """Raise a ValueError unless all images cover one footprint, within half the coarser pixel."""
    entries = [
        (name, tuple(pixels * entry.gsd for pixels in entry.pixels.shape[2:]), entry.gsd)
        for name, entry in images.items()
    ]
    for i, (name, extent, gsd) in enumerate(entries):
        for other, other_extent, other_gsd in entries[:i]:
            allowed = max(gsd, other_gsd) / 2 * (1 + TOLERANCE)
            if any(abs(a - b) > allowed for a, b in zip(extent, other_extent, strict=True)):
                covered = [
                    f'{which} {size[0]:g} x {size[1]:g} m'
                    for which, size in ((other, other_extent), (name, extent))
                ]
                raise ValueError(
                    f'the images of a sample must cover one footprint, but there are '
                    f'{" and ".join(covered)}: crop them to the same place, or correct gsd'
                )


def is_length(value: Any) -> bool:
    """Return whether a value is a positive, finite number, such as meters."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf
