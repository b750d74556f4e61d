"""Writing of GeoTIFFs block by block, with verification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.scenes.grid import Box, Grid
from mmdynamicvis.scenes.reading import Scene, cause
from mmdynamicvis.scenes.work_folder import WorkFolder

BLOCK = 512
"""Side in pixels of a block of the written file."""
SUFFIXES = ('.tif', '.tiff')
SIDE_FILES = ('.aux.xml', '.msk', '.ovr')
"""Suffixes of files that GDAL would treat as parts of the output."""


def check_output(path: Path, scene: Scene) -> None:
    """Check that a GeoTIFF can be written without overwriting anything.

    Raises:
        FileExistsError: The file exists, or a file that GDAL would treat as a part of it.
        ValueError: The suffix is not that of a GeoTIFF, or the file is a file of the scene.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'output is {path}; maps of classes are written to *.tif')
    refuse_to_overwrite([path, *(f'{path}{end}' for end in SIDE_FILES)], scene.files)


@dataclass(frozen=True)
class Bands:
    """Description of the bands of a raster.

    Args:
        names: Names of the bands.
        dtype: dtype of the pixels.
        nodata: Value of nodata pixels.
        resampling: GDAL's resampling method for overviews: 'mode' for class indices, 'average' for
            quantities.
        colors: R, G, B of each class index, for a raster of one band.
    """

    names: Sequence[str]
    dtype: str
    nodata: float
    resampling: Literal['average', 'mode']
    colors: Sequence[Sequence[int]] | None = None


def write_raster(
    path: Path,
    scene: Scene,
    grid: Grid,
    bands: Bands,
    block: Callable[[Box], np.ndarray],
    work: WorkFolder,
    cog: bool,
    finished: Callable[[Path], None] = lambda path: None,
) -> None:
    """Write a GeoTIFF with the size and georeferencing of a scene, atomically.

    Args:
        path: The file to write.
        scene: The scene, which defines size and georeferencing.
        grid: The tiling, which defines the blocks.
        bands: Description of the bands.
        block: Returns the pixels of a block, (bands, H, W).
        work: Folder that holds the file until it is complete.
        cog: Write a cloud-optimized GeoTIFF, with overviews.
        finished: Gets the complete temporary file, right before it is moved to ``path``.

    Raises:
        OSError: The file could not be written, for example because the disk is full.
    """
    profile = dict(
        driver='GTiff',
        height=scene.height,
        width=scene.width,
        count=len(bands.names),
        dtype=bands.dtype,
        nodata=bands.nodata,
        **scene.place,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress='deflate',
        bigtiff='if_safer',
    )
    boxes = [box for row in grid.block_rows(BLOCK) for box in row]
    try:
        with work.replacing(path) as temporary:
            with rasterio.open(temporary, 'w', **profile) as file:
                _describe(file, bands)
                for box in boxes:
                    file.write(block(box), window=_window(box))
            if cog:
                _make_cog(temporary, bands.resampling)
            _compare(temporary, boxes, block)
            finished(temporary)
    except RasterioError as error:
        raise OSError(f'cannot write {path}: {cause(error)}. Is the disk full?') from error


def _describe(file: rasterio.io.DatasetWriter, bands: Bands) -> None:
    file.descriptions = bands.names
    if bands.colors is not None:
        file.write_colormap(1, {i: (*color, 255) for i, color in enumerate(bands.colors)})


def _make_cog(path: Path, resampling: str) -> None:
    plain = path.rename(path.with_suffix('.plain.tif'))
    options = dict(compress='deflate', bigtiff='if_safer', overview_resampling=resampling)
    try:
        copy_raster(plain, path, driver='COG', **options)
    # rasterio raises exceptions here whose classes it does not export
    except Exception as error:
        raise RasterioError(str(error)) from error


def _compare(path: Path, boxes: Sequence[Box], block: Callable[[Box], np.ndarray]) -> None:
    """Read a file back and compare: GDAL does not report errors raised while closing a file."""
    with rasterio.open(path) as file:
        for box in boxes:
            if not np.array_equal(file.read(window=_window(box)), block(box), equal_nan=True):
                raise RasterioError(f'rows {box.top} to {box.bottom} were not written as they are')


def _window(box: Box) -> RasterWindow:
    return RasterWindow.from_slices((box.top, box.bottom), (box.left, box.right))
