"""Conversion of images with any bands to RGB pictures, and writing of picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdynamicvis.fileio import replacing

Picture = NDArray[np.uint8]
"""R, G, B, uint8 (H, W, 3)."""

_DARKEST, _BRIGHTEST = 2, 98  # percentiles


def as_picture(image_CHW: NDArray, bands: Sequence[int] | None = None) -> Picture:
    """Return bands of an image as red, green and blue.

    Integers from 0 to 255 are kept as they are. Other values are stretched to 0 to 255 between the
    2nd and 98th percentiles of all shown bands together.

    Args:
        image_CHW: (bands, H, W), any dtype.
        bands: Indices of the red, green and blue bands, counted from 0; by default the first three,
            or only the first if there are fewer than three.

    Raises:
        ValueError: The image lacks a band.
    """
    n_bands = len(image_CHW)
    if bands is None:
        bands = (0, 1, 2) if n_bands >= 3 else (0, 0, 0)
    if len(bands) != 3 or not all(0 <= band < n_bands for band in bands):
        raise ValueError(f'bands is {bands}; give three numbers from 0 to {n_bands - 1}')
    shown = np.stack([image_CHW[band] for band in bands], axis=-1)
    if shown.dtype == np.uint8:
        return shown
    shown = shown.astype(np.float32)
    if shown.min() >= 0 and shown.max() <= 255 and (shown == shown.round()).all():
        return shown.astype(np.uint8)
    low, high = np.percentile(shown, (_DARKEST, _BRIGHTEST))
    return np.round(255 * ((shown - low) / max(high - low, 1e-12)).clip(0, 1)).astype(np.uint8)


def write_picture(picture: Picture, path: str | Path) -> None:
    """Write a picture as .png, .jpg, etc., atomically.

    Raises:
        ValueError: OpenCV does not support the suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _, content = cv2.imencode(path.suffix, picture[..., ::-1])
    except cv2.error as error:
        raise ValueError(f'{path}: no picture format {path.suffix!r}; use .png') from error
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())


def write_animation(pictures: Sequence[Picture], path: str | Path, seconds: float = 1.0) -> None:
    """Write pictures of one size as an animated .gif or .png, atomically.

    Args:
        pictures: The frames.
        path: File to write.
        seconds: Duration of each frame.

    Raises:
        ValueError: The suffix is neither .gif nor .png.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.gif', '.png'):
        raise ValueError(f'{path}: animations are .gif or .png')
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, pictures)
    options = dict(append_images=others, duration=round(1000 * seconds), loop=0)
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, **options)
