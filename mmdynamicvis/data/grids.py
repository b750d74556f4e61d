"""Checks that rasters cover the same area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import rasterio
    from affine import Affine

SHIFT = 0.5
"""Largest shift in pixels between rasters that are taken to cover the same area."""


class Place(NamedTuple):
    """Size and georeferencing of a raster.

    =========  ======================================================
    field      value
    =========  ======================================================
    name       file name, for messages
    shape      (height, width) in pixels
    crs        coordinate reference system, comparable by ==, or None
    transform  affine transform from pixels to coordinates, or None
    =========  ======================================================
    """

    name: str
    shape: tuple[int, int]
    crs: Any
    transform: Affine | None


def place_of(file: rasterio.DatasetReader) -> Place:
    """Return size and georeferencing of an open file."""
    transform = None if file.transform.is_identity else file.transform
    return Place(file.name, file.shape, file.crs or None, transform)


def check_places(first: Place, other: Place) -> None:
    """Refuse rasters that do not cover the same area; their pixel sizes may differ.

    Raises:
        ValueError: Their reference systems differ, only one has a transform, a transform is
            degenerate, or their corners are more than half a pixel of the coarser raster apart.
            The message names both files.
    """
    if first.crs != other.crs:
        raise ValueError(
            f'{first.name} has the reference system {first.crs}, {other.name} {other.crs}. Align '
            'them first'
        )
    if (first.transform is None) != (other.transform is None):
        absent, present = (first, other) if first.transform is None else (other, first)
        raise ValueError(
            f'{absent.name} has no transform, but {present.name} has one. '
            'Give both theirs, or remove it from both'
        )
    if first.transform is None:
        return
    for place in (first, other):
        if place.transform.is_degenerate:
            raise ValueError(
                f'{place.name} has the transform {tuple(place.transform)[:6]}, whose pixels have '
                'no area. Write its transform again'
            )
    shift = _shift(first, other)
    if shift > SHIFT:
        raise ValueError(
            f'{other.name} is shifted by {shift:.1f} pixels against {first.name}. Align them '
            'first, with gdalwarp for example'
        )


def _shift(first: Place, other: Place) -> float:
    """Return the largest offset of corners along an axis, in pixels of the coarser raster."""
    (height, width), (other_height, other_width) = first.shape, other.shape
    fractions = [(0, 0), (1, 0), (0, 1), (1, 1)]
    places = [
        ~first.transform * (other.transform * (x * other_width, y * other_height))
        for x, y in fractions
    ]
    apart = np.abs(np.array(places) - np.multiply(fractions, (width, height)))
    coarser = np.minimum(1, (other_width / width, other_height / height))
    return float((apart * coarser).max())
