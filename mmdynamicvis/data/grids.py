"""Checks that rasters cover the same area, and store their values alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import rasterio
    from affine import Affine

SHIFT = 0.5
"""Largest shift in pixels between rasters that are taken to cover the same area."""


@dataclass(frozen=True)
class Points:
    """Georeferencing of a raster that has neither a reference system nor a transform."""

    gcps: tuple[tuple[float, ...], ...]
    """Row, column, x, y and z of each ground control point."""
    crs: Any
    """Reference system of the points, or None."""
    rpcs: dict[str, Any] | None
    """As a dict, because rasterio's RPC objects are compared by identity."""

    @classmethod
    def of(cls, file: rasterio.DatasetReader) -> Points | None:
        """Return the points of an open file; None if it has none or is placed otherwise."""
        points, crs = file.gcps
        if file.crs is not None or not file.transform.is_identity or not (points or file.rpcs):
            return None
        gcps = tuple((p.row, p.col, p.x, p.y, p.z or 0.0) for p in points)
        return cls(gcps, crs, file.rpcs and file.rpcs.to_dict())

    def __str__(self) -> str:
        gcps = [f'{len(self.gcps)} ground control points'] if self.gcps else []
        return ' and '.join(gcps + ['RPCs'] * (self.rpcs is not None))


class Place(NamedTuple):
    """Size and georeferencing of a raster.

    =========  =========================================================================
    field      value
    =========  =========================================================================
    name       file name, for messages
    shape      (height, width) in pixels
    crs        coordinate reference system, comparable by ==, or None
    transform  affine transform from pixels to coordinates, or None
    points     ground control points and RPCs of a raster that has nothing else, or None
    =========  =========================================================================
    """

    name: str
    shape: tuple[int, int]
    crs: Any
    transform: Affine | None
    points: Points | None = None


class Encoding(NamedTuple):
    """How a raster stores the values of its bands.

    ======  ==================================================
    field   value
    ======  ==================================================
    name    file name, for messages
    dtypes  dtype of each band
    scales  (scale, offset) of each band as stated by the file
    ======  ==================================================
    """

    name: str
    dtypes: tuple[str, ...]
    scales: tuple[tuple[float, float], ...]


def place_of(file: rasterio.DatasetReader) -> Place:
    """Return size and georeferencing of an open file."""
    transform = None if file.transform.is_identity else file.transform
    return Place(file.name, file.shape, file.crs or None, transform, Points.of(file))


def read_place(path: str | Path) -> Place:
    """Return size and georeferencing of a file. Requires rasterio.

    Raises:
        OSError: The file is missing or no raster; the message names it.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return place_of(file)


def loaded_place(results: dict) -> Place:
    """Return size and georeferencing of an image as its loader has returned them."""
    keys = ('crs', 'transform', 'points')
    return Place(results['img_path'], results['ori_shape'][:2], *map(results.get, keys))


def encoding_of(file: rasterio.DatasetReader, bands: Sequence[int] | None = None) -> Encoding:
    """Return how an open file stores some bands, counted from 1; by default all."""
    chosen = [band - 1 for band in bands or file.indexes]
    return Encoding(
        file.name,
        tuple(file.dtypes[i] for i in chosen),
        tuple((file.scales[i], file.offsets[i]) for i in chosen),
    )


def check_encodings(first: Encoding, other: Encoding) -> None:
    """Refuse rasters of which equal numbers may mean different values.

    Raises:
        ValueError: Their dtypes, scales or offsets differ; the message names both files.
    """
    for what, of_first, of_other in (
        ('dtypes', first.dtypes, other.dtypes),
        ('scales and offsets of bands', first.scales, other.scales),
    ):
        if of_first != of_other:
            raise ValueError(
                f'{first.name} has the {what} {of_first}, {other.name} {of_other}, so that equal '
                'numbers mean different values. Convert them to the same first'
            )


def check_places(first: Place, other: Place) -> None:
    """Refuse rasters that do not cover the same area; their pixel sizes may differ.

    Raises:
        ValueError: Their reference systems, ground control points or RPCs differ, only one has a
            transform, a transform is degenerate, or their corners are more than half a pixel of
            the coarser raster apart. The message names both files.
    """
    if first.crs != other.crs:
        raise ValueError(
            f'{first.name} has the reference system {first.crs}, {other.name} {other.crs}. Align '
            'them first'
        )
    # points are in pixels, so that equal ones of another size cover another area
    if first.points != other.points or (first.points and first.shape != other.shape):
        raise ValueError(
            f'{first.name} and {other.name} are placed by points or RPCs that differ, so that '
            'their pixels do not lie on each other. Bring them to one grid first, by gdalwarp '
            'for example'
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


def check_mask_place(image: Place, mask: Place) -> None:
    """Refuse a mask whose georeferencing contradicts its image's; both may lack theirs.

    Raises:
        ValueError: Both are placed, but not at the same place; the message names both files.
    """
    if any(place.transform is None and place.points is None for place in (image, mask)):
        return
    if image.crs is None or mask.crs is None:
        image, mask = image._replace(crs=None), mask._replace(crs=None)
    check_places(image, mask)


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
