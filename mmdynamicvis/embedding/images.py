"""Images as users have them: files, folders, arrays, tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmdynamicvis.data.image_files import find_files

Image = str | Path | np.ndarray | Tensor
"""A file; an array (H, W, bands) or (H, W); or a tensor (bands, H, W). Colors are R, G, B."""

PLAIN = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
RASTERS = ('.jp2', '.tif', '.tiff', '.vrt')


def find_images(folder: str | Path) -> list[Path]:
    """Return all images in a folder and the folders in it, sorted.

    Linked folders are followed, hidden files left out; see
    :func:`mmdynamicvis.data.image_files.find_files`.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
    """
    suffixes = (*PLAIN, *RASTERS)
    found = find_files(folder, suffixes)
    if not found:
        raise FileNotFoundError(f'{folder} has no images ({", ".join(suffixes)})')
    return found


def read_image(
    image: Image, bands: Sequence[int] | None = None, dtype: str | None = None
) -> Tensor:
    """Return an image as (bands, H, W) float32, in the units it is stored in.

    Args:
        image: What :data:`Image` says. Files that end with one of :data:`RASTERS` are read by
            rasterio (pixels without data become 0), others by Pillow as R, G, B.
        bands: Bands of a raster in the order of the network's channels, counted from 1; all by
            default.
        dtype: dtype that rasters must have; None for any.

    Raises:
        OSError: A file is missing or damaged; the message names it.
        ValueError: An array or tensor has another shape, a raster lacks a band or has another
            dtype, or another file has more than 8 bits per band.
    """
    if isinstance(image, Tensor):
        pixels_CHW = image
    elif isinstance(image, np.ndarray):
        pixels_HWC = image if image.ndim == 3 else image[..., None]
        pixels_CHW = torch.from_numpy(np.ascontiguousarray(pixels_HWC)).movedim(-1, 0)
    else:
        pixels_CHW = _read_file(Path(image), bands, dtype)
    if pixels_CHW.dim() != 3:
        raise ValueError(
            f'an image has shape {tuple(image.shape)}; give an array (H, W, bands) or a tensor '
            '(bands, H, W)'
        )
    return pixels_CHW.float()


def _read_file(path: Path, bands: Sequence[int] | None, dtype: str | None) -> Tensor:
    if path.suffix.lower() in RASTERS:
        from mmdynamicvis.data.geotiff import LoadGeoTIFF

        pixels_HWC = LoadGeoTIFF(bands, dtype=dtype).transform(dict(img_path=str(path)))['img']
    else:
        from mmdynamicvis.data.loading import LoadIntactImage

        loaded = LoadIntactImage().transform(dict(img_path=str(path)))['img']
        pixels_HWC = np.ascontiguousarray(loaded[..., ::-1])
    return torch.from_numpy(pixels_HWC).movedim(-1, 0)
