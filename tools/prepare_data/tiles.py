"""Cutting of image pairs and their masks into tiles, read window by window."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from mmdynamicvis.data.binary_masks import gray_of_palette
from mmdynamicvis.data.geotiff import color_bands
from mmdynamicvis.data.grids import (
    check_encodings,
    check_mask_place,
    check_places,
    encoding_of,
    place_of,
)


class Pair(NamedTuple):
    """Open files of one place: two dates and the change mask."""

    first: rasterio.DatasetReader
    second: rasterio.DatasetReader
    mask: rasterio.DatasetReader


def starts(length: int, size: int, stride: int, cover: bool) -> list[int]:
    """Return the first pixels of tiles along one axis.

    Args:
        length: Size of the image in pixels.
        size: Size of a tile in pixels.
        stride: Distance between tiles in pixels.
        cover: Add a last tile aligned with the end of the image; otherwise the remainder is
            dropped.

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
        ValueError: The files differ in size or area, or the dates in bands, dtypes, scales or
            offsets; the message names them. The mask may lack georeferencing.
    """
    first = pair.first
    for other in pair[1:]:
        if other.shape != first.shape:
            raise ValueError(
                f'{first.name} is of {first.width} x {first.height} px, {other.name} of '
                f'{other.width} x {other.height}. Align them first'
            )
    if first.count != pair.second.count:
        raise ValueError(
            f'{first.name} has the count {first.count}, {pair.second.name} {pair.second.count}. '
            'The dates must be alike: convert them first'
        )
    check_encodings(encoding_of(first), encoding_of(pair.second))
    check_places(place_of(first), place_of(pair.second))
    check_mask_place(place_of(first), place_of(pair.mask))


def rgb_bands(file: rasterio.DatasetReader) -> list[int]:
    """Return the bands to write as .png of R, G, B, counted from 1.

    These are the bands that the file calls red, green and blue; else the first three.

    Raises:
        ValueError: There are fewer than three bands, or they are not uint8.
    """
    bands = color_bands(file)
    if file.count < 3 or {file.dtypes[band - 1] for band in bands} != {'uint8'}:
        raise ValueError(
            f'{file.name} has {file.count} bands of {file.dtypes[0]}; R, G and B of uint8 are '
            'needed. Convert it first, as by gdal_translate -b 3 -b 2 -b 1 -ot Byte -scale LOW HIGH'
        )
    return bands


def at_least_one(text: str) -> int:
    """Return a number of pixels from the command line, at least 1."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f'{text} is less than one pixel')
    return number


def read_change(mask: rasterio.DatasetReader, window: Window, changed: Sequence[int]) -> np.ndarray:
    """Read a change mask as (H, W) uint8 with values 0 and 255.

    Args:
        mask: File with two values.
        window: Window to read.
        changed: The values of changed and unchanged pixels.

    Raises:
        ValueError: There are other values, which the message lists, or colors.
    """
    values = read_mask(mask, window)
    unexpected = np.setdiff1d(values, changed)
    if unexpected.size:
        listed = ', '.join(map(str, unexpected[:10]))
        raise ValueError(
            f'mask {mask.name} has the values {listed}, not only {" and ".join(map(str, changed))}'
        )
    return np.where(values == changed[0], 255, 0).astype(np.uint8)


def read_mask(file: rasterio.DatasetReader, window: Window | None = None) -> np.ndarray:
    """Read a mask as (H, W) values, with gray palettes and inverted scales applied.

    Raises:
        ValueError: The mask is colored, or has transparent pixels.
    """
    values_CHW = file.read(window=window)
    kinds = np.array([kind == ColorInterp.alpha for kind in file.colorinterp])
    if kinds.any() and (values_CHW[kinds] != np.iinfo(values_CHW.dtype).max).any():
        raise ValueError(f'mask {file.name} has transparent pixels: save it without transparency')
    values = values_CHW[0]
    if (values_CHW[~kinds] != values).any():
        raise ValueError(f'mask {file.name} is colored: its bands differ. Give one of one band')
    structure = file.tags(ns='IMAGE_STRUCTURE') | file.tags(1, ns='IMAGE_STRUCTURE')
    if structure.get('MINISWHITE') == 'YES':  # GDAL also returns a palette, but always for 8 bits
        bits = int(structure.get('NBITS', 8 * values.itemsize))
        return (2**bits - 1 - values).astype(values.dtype)
    if file.colorinterp[0] == ColorInterp.palette:
        colors = file.colormap(1)
        palette = np.array([colors.get(i, (0, 0, 0))[:3] for i in range(1 + max(colors))], np.uint8)
        return gray_of_palette(values, palette)
    return values


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask as .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def write_rgb(path: Path, image_CHW: np.ndarray) -> None:
    """Write three 8-bit bands as .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image_CHW.transpose(1, 2, 0))).save(path)
