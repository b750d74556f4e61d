"""Reading of uploaded images, which are not trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mmdynamicvis.data.image_files import is_deep
from mmdynamicvis.visualization.pictures import Picture

FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
MAX_PIXELS = 4096**2
"""Limit against small files that decompress to a huge image."""


def read_upload(path: str | Path) -> Picture:
    """Return an image file as R, G, B, (H, W, 3) uint8, with its EXIF orientation applied.

    Raises:
        ValueError: The file is not an image, is damaged, or has too many pixels or more than 8
            bits per band; the message names it.
    """
    name = Path(path).name
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f'{name} has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are '
                    'supported: crop it, or use tools/infer_scene.py for large scenes'
                )
            if is_deep(image):
                raise ValueError(f'{name} has more than 8 bits per band: convert it to 8 bits')
            return np.array(ImageOps.exif_transpose(image).convert('RGB'))
    except Image.UnidentifiedImageError as error:
        raise ValueError(f'{name} is no image ({", ".join(FORMATS)})') from error
    except Image.DecompressionBombError as error:
        raise ValueError(f'{name} has more than {MAX_PIXELS:,} pixels: crop it') from error
    # Pillow's decoders raise different exceptions
    except (OSError, SyntaxError) as error:
        raise ValueError(f'{name} is damaged: {error}') from error


def fit(picture: Picture, side: int) -> Picture:
    """Return a picture resized to ``side`` pixels along its longer side."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
