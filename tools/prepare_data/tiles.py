"""Cuts pairs of images and their masks into tiles, reading only what a tile needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from PIL import Image
from rasterio.windows import Window


class Pair(NamedTuple):
    """Open files of one place: two dates, and the mask of what changed."""

    first: rasterio.DatasetReader
    second: rasterio.DatasetReader
    mask: rasterio.DatasetReader


def starts(length: int, size: int, stride: int, cover: bool) -> list[int]:
    """Return where tiles begin along one axis.

    Args:
        length: Pixels of the image.
        size: Pixels of a tile.
        stride: Pixels from one tile to the next.
        cover: Move the last tile back so that the image's end is covered; otherwise what is left
            there is dropped.

    Raises:
        ValueError: The image is smaller than a tile.
    """
    if length < size:
        raise ValueError(f'an image of {length} px is smaller than a tile of {size} px')
    begin = list(range(0, length - size + 1, stride))
    if cover and begin[-1] + size < length:
        begin.append(length - size)
    return begin


def windows(
    height: int, width: int, size: int, stride: int, cover: bool = True
) -> Iterator[Window]:
    """Yield the tiles of an image, row by row."""
    for row in starts(height, size, stride, cover):
        for column in starts(width, size, stride, cover):
            yield Window(column, row, size, size)


def check_pair(pair: Pair) -> None:
    """Refuse files that do not lie on one grid.

    Raises:
        ValueError: The files differ in size, or the dates in bands, dtype or reference system; the
            message names them.
    """
    first = pair.first
    for other in pair[1:]:
        if other.shape != first.shape:
            raise ValueError(
                f'{first.name} is of {first.width} x {first.height} px, {other.name} of '
                f'{other.width} x {other.height}. Align them first'
            )
    for what in ('count', 'dtypes', 'crs'):
        values = [getattr(date, what) for date in pair[:2]]
        if values[0] != values[1]:
            raise ValueError(
                f'{first.name} has the {what} {values[0]}, {pair.second.name} {values[1]}. The '
                'dates must lie on one grid: align them first'
            )


def read_change(mask: rasterio.DatasetReader, window: Window, changed: Sequence[int]) -> np.ndarray:
    """Read a mask, (H, W) uint8 of 0 and 255.

    Args:
        mask: File whose first band has one value for what did not change, others for what did.
        window: Part of it.
        changed: The values of a changed and of an unchanged pixel.

    Raises:
        ValueError: There are other values; the message lists them.
    """
    values = mask.read(1, window=window)
    unexpected = np.setdiff1d(values, changed)
    if unexpected.size:
        listed = ', '.join(map(str, unexpected[:10]))
        raise ValueError(
            f'mask {mask.name} has the values {listed}, not only {" and ".join(map(str, changed))}'
        )
    return np.where(values == changed[0], 255, 0).astype(np.uint8)


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask as .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def write_rgb(path: Path, image_CHW: np.ndarray) -> None:
    """Write three bands of 8 bit as .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image_CHW.transpose(1, 2, 0))).save(path)
