"""Tiny segmentation datasets on disk, in the layouts that the configs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

SIZE = 72


def square(seed: int) -> np.ndarray:
    """Return the mask (72, 72) bool of one square target."""
    y, x = np.random.default_rng(seed).integers(4, 36, 2)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y : y + 30, x : x + 30] = True
    return mask


def write_massachusetts_roads(root: Path, images: int = 2) -> None:
    """Write {train,valid,test}/{sat,map}/NAME.{tiff,tif} with masks of 0 and 255."""
    for split in ('train', 'valid', 'test'):
        _write_rgb(root / split, ('sat', '.tiff'), ('map', '.tif'), 'L', images)


def write_whu_building(root: Path, images: int = 2) -> None:
    """Write {train,val,test}/{image,label}/NAME.tif with masks of one bit."""
    for split in ('train', 'val', 'test'):
        _write_rgb(root / split, ('image', '.tif'), ('label', '.tif'), '1', images)


def write_cil_roads(root: Path) -> None:
    """Write {images,groundtruth}/N.png, 20 of each, with masks of 0 and 255."""
    _write_rgb(root, ('images', '.png'), ('groundtruth', '.png'), 'L', 20)


def _write_rgb(
    folder: Path, image: tuple[str, str], mask: tuple[str, str], mode: str, images: int
) -> None:
    for name, _ in (image, mask):
        (folder / name).mkdir(parents=True)
    for i in range(images):
        target = square(i)
        pixels = np.random.default_rng(i).integers(60, 90, (SIZE, SIZE, 3))
        pixels[target] += 100
        Image.fromarray(pixels.astype(np.uint8)).save(folder / image[0] / f'{i}{image[1]}')
        Image.fromarray(target).convert(mode).save(folder / mask[0] / f'{i}{mask[1]}')


def write_bands(root: Path, bands: int, dtype: str, images: int = 2) -> None:
    """Write {train,val}/{images,masks}/NAME.tif with nodata 0 in the first four rows."""
    place = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, 10, 10))
    for split in ('train', 'val'):
        for name in ('images', 'masks'):
            (root / split / name).mkdir(parents=True)
        for i in range(images):
            target = square(i)
            image = np.random.default_rng(i).integers(60, 90, (bands, SIZE, SIZE)).astype(dtype)
            image[:, target] += 100
            image[:, :4] = 0
            with rasterio.open(
                root / split / f'images/{i}.tif',
                'w',
                count=bands,
                height=SIZE,
                width=SIZE,
                dtype=dtype,
                nodata=0,
                **place,
            ) as file:
                file.write(image)
            Image.fromarray(target).convert('L').save(root / split / f'masks/{i}.tif')
