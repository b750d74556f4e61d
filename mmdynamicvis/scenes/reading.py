"""Reading of windows of rasters, in threads that run ahead of the model."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.errors import RasterioError
from rasterio.rpc import RPC
from rasterio.windows import Window as RasterWindow

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.data.grids import Points, check_encodings, check_places, place_of
from mmdynamicvis.scenes.grid import Box
from mmdynamicvis.scenes.remote import again, open_raster

Window = list[np.ndarray]
"""The images of a window, one per date, each (H, W, bands) float32."""

Item = TypeVar('Item')
Result = TypeVar('Result')

SAMPLE = 64
"""Side in pixels of the windows by which a scaling is checked."""
GDAL_CACHE = 128 * 2**20
"""Bytes of decoded blocks that GDAL may cache; its default is a fraction of the machine's RAM."""


class Scene:
    """One or several rasters on one grid; windows may be read from several threads.

    As a context manager it limits GDAL's cache and closes the files at the end.

    Args:
        paths: A raster that GDAL reads, or one per date: a path, or a URL (http, https or s3).
        loader: Selects the bands and determines nodata pixels.
        scaling: (low, high): the values in the file that map to 0 and 255. Values in between are
            scaled linearly, values outside are clipped. None keeps the values unchanged.

    Attributes:
        file_place: Size and georeferencing of the first file.
        step: Rows and columns of which the edges of windows are multiples: any.

    Raises:
        OSError: A file is missing, damaged or not a raster; the message names it.
        ValueError: There is no file; a file lacks a band, has another dtype than the loader
            expects, or a degenerate transform; the rasters are not on one grid, or differ in
            dtypes, scales or offsets; or ``scaling`` is not increasing, or clips all values.
    """

    step = (1, 1)

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        loader: LoadGeoTIFF | None = None,
        scaling: tuple[float, float] | None = None,
    ) -> None:
        if scaling is not None and not 0 < scaling[1] - scaling[0] < np.inf:
            raise ValueError(f'scaling is {scaling}; give (low, high), finite, with low < high')
        self.paths = [str(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
        if not self.paths:
            raise ValueError('there is no raster: give one, or one per date')
        self.loader = LoadGeoTIFF() if loader is None else loader
        self.scaling = scaling
        self._of_thread = threading.local()
        self._open_files: list[rasterio.DatasetReader] = []
        first, *others = self._files()
        self.height, self.width = first.shape
        self.crs, self.transform = first.crs, first.transform
        self.file_place = place_of(first)
        self._points = self.file_place.points
        for file in (first, *others):
            if file.transform.is_degenerate:
                raise ValueError(
                    f'the pixels of {file.name} have no size: {tuple(file.transform)[:6]}'
                )
        for other in others:
            self._compare(first, other)
        images, _ = self.read(Box(0, 0, 1, 1))
        self.bands = images[0].shape[-1]
        if scaling is not None:
            self._check_scaling(*scaling)
        if first.crs is None and not self.points:
            warnings.warn(
                f'{self.paths[0]} has no reference system, so that the output has none',
                stacklevel=2,
            )

    def __enter__(self) -> Scene:
        # applies to all threads, and to files written in the meantime
        self._limits = rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE)
        self._limits.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self._limits.__exit__(*exception)

    def close(self) -> None:
        """Close the files of all threads."""
        for file in self._open_files:
            file.close()

    @cached_property
    def files(self) -> list[str]:
        """All files that GDAL reads: the rasters, files next to them, and the sources of a .vrt."""
        return sorted({name for path in self.paths for name in _all_files(path)})

    @property
    def points(self) -> str:
        """The ground control points or RPCs of a scene without a transform, as text; else ''."""
        return '' if self._points is None else str(self._points)

    @property
    def place(self) -> dict[str, Any]:
        """Georeferencing, as arguments of ``rasterio.open`` for a file on the same grid."""
        if self._points is not None:
            return _profile(self._points)
        return dict(crs=self.crs, transform=self.transform)

    def read(self, box: Box) -> tuple[Window, np.ndarray]:
        """Read a window.

        Returns:
            The image of each date, (H, W, bands) float32, and the nodata mask, (H, W) bool, which
            is true where any date is nodata.
        """
        images, nodata = zip(*self.read_dates(box), strict=True)
        return list(images), np.any(nodata, axis=0)

    def read_dates(self, box: Box) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the image of each date, (H, W, bands) float32, and its nodata mask, (H, W)."""
        read = [self._read_file(number, box) for number in range(len(self.paths))]
        return [(self._scale(image), nodata) for image, nodata in read]

    def settings(self) -> dict[str, Any]:
        """Return the state of the files and how they are read, for the settings of a run."""
        return dict(
            # the name of a file inside an archive, or of a subdataset, is not a path on disk
            rasters=[os.path.realpath(p) if Path(p).is_file() else p for p in self.paths],
            file={name: _state(name) for name in self.files},
            reading=repr(self.loader),
            scaling=self.scaling,
        )

    def _files(self) -> list[rasterio.DatasetReader]:
        """Return the open files of this thread; GDAL's file handles are not thread-safe."""
        if not hasattr(self._of_thread, 'files'):
            self._of_thread.files = [open_raster(path) for path in self.paths]
            self._open_files += self._of_thread.files
        return self._of_thread.files

    def _read_file(self, number: int, box: Box) -> tuple[np.ndarray, np.ndarray]:
        window = RasterWindow.from_slices((box.top, box.bottom), (box.left, box.right))
        path = self.paths[number]
        try:
            return again(lambda: self.loader.read(self._files()[number], window), path)
        except RasterioError as error:
            raise OSError(
                f'cannot read {box} of {path} ({cause(error)}). Copy or download the file '
                'again, and of a .vrt what it points to'
            ) from error

    def _scale(self, image: np.ndarray) -> np.ndarray:
        if self.scaling is None:
            return image
        low, high = self.scaling
        return ((image - low) * (255 / (high - low))).clip(0, 255)

    def _check_scaling(self, low: float, high: float) -> None:
        """Raise a ValueError if all values are clipped, at places all over the scene."""
        tops, lefts = (
            sorted({round(i * max(length - SAMPLE, 0)) for i in np.linspace(0, 1, 4)})
            for length in (self.height, self.width)
        )
        values = []
        for top, left in product(tops, lefts):
            box = Box(top, left, min(top + SAMPLE, self.height), min(left + SAMPLE, self.width))
            for number in range(len(self.paths)):
                image, nodata = self._read_file(number, box)
                values.append(image[~nodata].ravel())
        found = np.concatenate(values)
        if found.size and (found.max() <= low or found.min() >= high):
            raise ValueError(
                f'scaling is {(low, high)}, but {", ".join(self.paths)} has values from '
                f'{found.min():g} to {found.max():g}, which would all be clipped to one number: '
                'give the values that map to 0 and 255'
            )

    def _compare(self, first: rasterio.DatasetReader, other: rasterio.DatasetReader) -> None:
        """Raise an error if two files do not lie on one grid or store their values differently."""
        if first.shape != other.shape:
            raise ValueError(
                f'{first.name} has the shape {first.shape}, {other.name} {other.shape}. Bring '
                'them to one grid first, by gdalwarp for example'
            )
        check_places(place_of(first), place_of(other))
        check_encodings(self.loader.encoding(first), self.loader.encoding(other))


def _profile(points: Points) -> dict[str, Any]:
    """Return points as arguments of ``rasterio.open``."""
    profile = {} if points.rpcs is None else dict(rpcs=RPC(**points.rpcs))
    if points.gcps:
        gcps = [GroundControlPoint(*point) for point in points.gcps]
        profile.update(gcps=gcps, crs=points.crs)
    return profile


def _all_files(path: str) -> set[str]:
    """Return all files that GDAL reads for a raster.

    These include masks and metadata next to it and, recursively, the sources of a .vrt. A file
    inside an archive is represented by the archive, a remote file by GDAL's name for it.
    """
    found, left = set(), [path]
    while left:
        name = left.pop()
        try:
            with open_raster(name) as file:
                files = {name, *file.files}
        except OSError:  # a metadata file, or a missing source
            files = {name}
        left += files - found - {name}
        found |= files
    return {_on_disk(name) for name in found}


def _on_disk(name: str) -> str:
    path = Path(re.sub(r'^(/vsi\w+/)+', '', name))
    for file in (path, *path.parents):
        if file.is_file():
            return os.path.realpath(file)
    return name


def _state(path: str) -> list[int]:
    """Return size and modification time of a file; an empty list if it is not on disk."""
    if not Path(path).is_file():
        return []
    stat = Path(path).stat()
    return [stat.st_size, stat.st_mtime_ns]


def cause(error: BaseException) -> BaseException:
    """Return the first error in a chain of causes, which is GDAL's own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], readers: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item and what ``read`` returns for it, in order.

    Args:
        read: Function called in ``readers`` threads, at most ``2 * readers`` items ahead.
        items: The items to read.
        readers: Number of threads.
    """
    pool = ThreadPoolExecutor(readers)
    waiting = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) > 2 * readers:
                item, result = waiting.popleft()
                yield item, result.result()
        while waiting:
            item, result = waiting.popleft()
            yield item, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
