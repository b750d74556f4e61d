"""Windows of rasters, read by threads that are ahead of the model."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.scenes.grid import Box

Window = list[np.ndarray]
"""The images of a window, one per date, each (H, W, bands) float32."""

Item = TypeVar('Item')
Result = TypeVar('Result')

GDAL_CACHE = 128 * 2**20
"""Bytes of decoded blocks that GDAL may keep, which otherwise takes a part of all memory."""
SHIFT = 0.5
"""Pixels by which rasters of one grid may differ in place."""


class Scene:
    """Rasters on one grid; windows may be read from several threads.

    A context: it limits GDAL's cache, and closes the files in the end.

    Args:
        paths: A raster that GDAL reads, or one per date.
        loader: Which bands are read, and which pixels have no data.
        scaling: (low, high), the numbers of the file that become 0 and 255; those between are
            scaled linearly, those beyond cut off. None: numbers stay as they are.

    Raises:
        OSError: A file is missing, damaged or no raster; the message names it.
        ValueError: There is no file, a file lacks a band or has another dtype, the rasters are not
            on one grid, or ``scaling`` does not grow.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        loader: LoadGeoTIFF | None = None,
        scaling: tuple[float, float] | None = None,
    ) -> None:
        if scaling is not None and not scaling[0] < scaling[1]:
            raise ValueError(f'scaling is {scaling}; give (low, high) with low < high')
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
        for other in others:
            self._compare(first, other)
        images, _ = self.read(Box(0, 0, 1, 1))
        self.bands = images[0].shape[-1]
        if first.crs is None:
            warnings.warn(
                f'{self.paths[0]} has no reference system, so that the output has none',
                stacklevel=2,
            )

    def __enter__(self) -> Scene:
        # holds for all threads, and for what is written meanwhile
        self._limits = rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE)
        self._limits.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._open_files:
            file.close()
        self._limits.__exit__(*exception)

    def read(self, box: Box) -> tuple[Window, np.ndarray]:
        """Read a window.

        Returns:
            The image of each date, and where any date has no data, (H, W) bool.
        """
        images, nodata = zip(*(self._read_file(file, box) for file in self._files()), strict=True)
        return [self._scale(image) for image in images], np.any(nodata, axis=0)

    def settings(self) -> dict[str, Any]:
        """Return what predictions depend on: the files as they are now, and how they are read."""
        return dict(
            rasters=[_state(path) for path in self.paths],
            reading=repr(self.loader),
            scaling=self.scaling,
        )

    def _files(self) -> list[rasterio.DatasetReader]:
        """Return the files of this thread: those of GDAL serve one thread each."""
        if not hasattr(self._of_thread, 'files'):
            self._of_thread.files = [self._open(path) for path in self.paths]
            self._open_files += self._of_thread.files
        return self._of_thread.files

    @staticmethod
    def _open(path: str) -> rasterio.DatasetReader:
        try:
            return rasterio.open(path)
        except RasterioError as error:
            raise OSError(
                f'cannot open {path} as a raster ({error}). Give a GeoTIFF or another file that '
                'GDAL reads'
            ) from error

    def _read_file(self, file: rasterio.DatasetReader, box: Box) -> tuple[np.ndarray, np.ndarray]:
        window = RasterWindow.from_slices((box.top, box.bottom), (box.left, box.right))
        try:
            return self.loader.read(file, window)
        except RasterioError as error:
            raise OSError(
                f'cannot read rows {box.top} to {box.bottom}, columns {box.left} to {box.right} of '
                f'{file.name} ({error}). Copy or download the file again'
            ) from error

    def _scale(self, image: np.ndarray) -> np.ndarray:
        if self.scaling is None:
            return image
        low, high = self.scaling
        return ((image - low) * (255 / (high - low))).clip(0, 255)

    @staticmethod
    def _compare(first: rasterio.DatasetReader, other: rasterio.DatasetReader) -> None:
        """Raise an error if the pixels of two files do not lie on each other."""
        for what, of in (
            ('shape', lambda file: file.shape),
            ('reference system', lambda file: str(file.crs)),
        ):
            if of(first) != of(other):
                raise ValueError(
                    f'{first.name} has the {what} {of(first)}, {other.name} {of(other)}. Bring '
                    'them to one grid first, by gdalwarp for example'
                )
        # of the corners of the other, in pixels of the first
        corners = np.array([(0, 0), (other.width, 0), (0, other.height)])
        places = [~first.transform * (other.transform * corner) for corner in corners]
        shift = np.abs(places - corners).max()
        if shift > SHIFT:
            raise ValueError(
                f'{other.name} is {shift:.1f} pixels beside {first.name}. Bring them to one grid '
                'first, by gdalwarp for example'
            )


def _state(path: str) -> list[str | int]:
    """Return what changes when a file does; of what GDAL reads elsewhere, the name alone."""
    if not Path(path).is_file():
        return [path]
    stat = Path(path).stat()
    return [str(Path(path).resolve()), stat.st_size, stat.st_mtime_ns]


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], readers: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item and what ``read`` returns for it, in order.

    Args:
        read: Called in ``readers`` threads, for no more than twice as many items ahead.
        items: What is read.
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
