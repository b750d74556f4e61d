"""Reading of images given as files, folders, arrays or tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdynamicvis.data.image_files import find_files

Image = str | Path | np.ndarray | Tensor
"""A file; an array (H, W, bands) or (H, W); or a tensor (bands, H, W). Colors are R, G, B."""

PLAIN = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
RASTERS = ('.jp2', '.tif', '.tiff', '.vrt')


def find_images(folder: str | Path) -> list[Path]:
    """Return all images below a folder, sorted.

    Linked folders are followed, hidden files are skipped; see
    :func:`mmdynamicvis.data.image_files.find_files`.

    Raises:
        FileNotFoundError: The folder does not exist or has no images.
    """
    suffixes = (*PLAIN, *RASTERS)
    found = find_files(folder, suffixes)
    if not found:
        raise FileNotFoundError(f'{folder} has no images ({", ".join(suffixes)})')
    return found


def read_image(
    image: Image,
    bands: Sequence[int | str] | None = None,
    dtype: str | None = None,
    sensor: str | None = None,
    unit: str | None = None,
) -> Tensor:
    """Return an image as (bands, H, W) float32, in ``unit`` or as it is stored.

    Args:
        image: See :data:`Image`. Files with a suffix in :data:`RASTERS` are read by rasterio
            (nodata pixels become 0), others by Pillow as R, G, B.
        bands: Bands of a raster in the order of the network's channels, names or numbers counted
            from 1; by default all, three of them as red, green, blue.
        dtype: dtype that rasters must have; None accepts any.
        sensor: Sensor of rasters, as in ``LoadGeoTIFF``.
        unit: Unit of rasters, as in ``LoadGeoTIFF``.

    Raises:
        OSError: A file is missing or damaged; the message names it.
        ValueError: An array or tensor has a wrong shape, a raster lacks a band or has another
            dtype, or an image that is not a raster has more than 8 bits per band.
    """
    if isinstance(image, Tensor):
        pixels_CHW = image
    elif isinstance(image, np.ndarray):
        pixels_HWC = image if image.ndim == 3 else image[..., None]
        pixels_CHW = torch.from_numpy(np.ascontiguousarray(pixels_HWC)).movedim(-1, 0)
    else:
        pixels_CHW = _read_file(Path(image), bands=bands, dtype=dtype, sensor=sensor, unit=unit)
    if pixels_CHW.dim() != 3:
        raise ValueError(
            f'an image has shape {tuple(image.shape)}; give an array (H, W, bands) or a tensor '
            '(bands, H, W)'
        )
    return pixels_CHW.float()


def read_window(
    path: str, window: tuple[tuple[int, int], tuple[int, int]], **reading: Any
) -> Tensor:
    """Return a window of a raster as (bands, H, W) float32, as :func:`read_image` reads all of it.

    Args:
        path: Path or URL of the raster.
        window: First row and the row behind the last one, and the same of columns.
        **reading: As in :func:`read_image`.

    Raises:
        OSError: The file is missing or damaged.
        ValueError: See :func:`read_image`.
    """
    import rasterio
    from rasterio.windows import Window

    from mmdynamicvis.data.geotiff import LoadGeoTIFF

    try:
        with rasterio.open(path) as file:
            loader = LoadGeoTIFF(**reading, alpha='band')
            image_HWC, _ = loader.read(file, Window.from_slices(*window))
    except rasterio.errors.RasterioError as error:
        raise OSError(f'cannot read {path}: {error}') from error
    return torch.from_numpy(image_HWC).movedim(-1, 0)


def _read_file(path: Path, **reading: Any) -> Tensor:
    if path.suffix.lower() in RASTERS:
        from mmdynamicvis.data.geotiff import LoadGeoTIFF

        # 'band': an alpha band does not matter, as nodata masks are not used here
        results = LoadGeoTIFF(**reading, alpha='band').transform(dict(img_path=str(path)))
        pixels_HWC = results['img']
    else:
        from mmdynamicvis.data.loading import LoadIntactImage

        loaded = LoadIntactImage().transform(dict(img_path=str(path)))['img']
        pixels_HWC = np.ascontiguousarray(loaded[..., ::-1])
    return torch.from_numpy(pixels_HWC).movedim(-1, 0)
