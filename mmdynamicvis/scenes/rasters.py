"""GeoTIFFs, written block by block and checked."""

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
"""Side of a block of the written file in pixels."""
SUFFIXES = ('.tif', '.tiff')
SIDE_FILES = ('.aux.xml', '.msk', '.ovr')
"""Endings of files that GDAL would take for parts of the output."""


def check_output(path: Path, scene: Scene) -> None:
    """Check that a GeoTIFF can be written, and that nothing is lost.

    Raises:
        FileExistsError: It exists, or a file that would be taken for a part of it.
        ValueError: The format is another one, or the file is one of the scene's.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'output is {path}; maps of classes are written to *.tif')
    refuse_to_overwrite([path, *(f'{path}{end}' for end in SIDE_FILES)], scene.files)


@dataclass(frozen=True)
class Bands:
    """What the bands of a raster are.

    Args:
        names: One per band.
        dtype: Type of the numbers.
        nodata: Number where there is no data.
        resampling: GDAL's name of how overviews are made: 'mode' for numbers of which those between
            two others mean something else, 'average' for quantities.
        colors: R, G, B of each number, for a file of one band.
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
) -> None:
    """Write a GeoTIFF with the place of a scene; it appears when it is complete.

    Args:
        path: The file.
        scene: What gives size and place.
        grid: What gives the blocks.
        bands: What the bands are.
        block: Returns the numbers of a block, (bands, H, W).
        work: Where the file is until it is complete.
        cog: Write a cloud-optimised GeoTIFF, with overviews.

    Raises:
        OSError: The file could not be written, since the disk is full for example.
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
    # rasterio raises classes here that it does not export
    except Exception as error:
        raise RasterioError(str(error)) from error


def _compare(path: Path, boxes: Sequence[Box], block: Callable[[Box], np.ndarray]) -> None:
    """Read a file back: GDAL does not report errors raised while closing a file."""
    with rasterio.open(path) as file:
        for box in boxes:
            if not np.array_equal(file.read(window=_window(box)), block(box), equal_nan=True):
                raise RasterioError(f'rows {box.top} to {box.bottom} were not written as they are')


def _window(box: Box) -> RasterWindow:
    return RasterWindow.from_slices((box.top, box.bottom), (box.left, box.right))
