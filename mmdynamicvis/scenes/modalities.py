"""Scenes of several sensors: rasters of one footprint, each read on its own grid."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.warp import transform as project

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.data.modalities import LoadModalities, Reading, check_footprints, with_data
from mmdynamicvis.scenes.grid import Box
from mmdynamicvis.scenes.reading import Scene

MARGIN = 2
"""Pixels of a raster beside a window from which it is resampled; bilinear weights reach 1."""

ABOUT_ONE = 0.95
"""Rasters with more pixels of the grid per own pixel than this are not averaged."""


class ModalityWindow(NamedTuple):
    """The images of several modalities of one footprint."""

    images: dict[str, list[np.ndarray]]
    """Modality -> its dates, each (H, W, bands) float32, NaN where there are no data; modalities
    without any are left out."""
    readings: dict[str, Reading]
    shape: tuple[int, int]
    """Height and width of the window on the grid of the scene."""


class ModalityScene:
    """Rasters of several modalities that cover one footprint; see :class:`Scene`.

    Each raster is read on its own grid: a window is a footprint that begins and ends between pixels
    of all of them. Only the rasters named in ``resample`` are resampled.

    Args:
        paths: Modality -> its raster, or its dates.
        loader: Its ``loaders`` are of ``LoadGeoTIFF``, one per modality.
        grid: Modality whose grid is that of the scene.
        resample: Modalities to bring to this grid. GDAL interpolates bilinearly, over all pixels
            that a larger one covers, in the unit of the loader; pixels without data are left out.

    Attributes:
        grid: Modality whose grid is that of the scene.
        readings: Modality -> how its images are to be understood.
        step: Rows and columns of which the edges of windows are multiples, because pixels of all
            rasters begin there.

    Raises:
        OSError: A file is missing, damaged or not a raster; the message names it.
        ValueError: A modality is unknown or has no loader of GeoTIFFs; two rasters do not cover one
            footprint, to half a pixel of the coarser one, or have other reference systems (the
            message names both); a raster to resample cannot be placed on the grid; or see
            :class:`Scene` and ``LoadModalities``.
    """

    def __init__(
        self,
        paths: Mapping[str, str | Path | Sequence[str | Path]],
        loader: LoadModalities,
        grid: str,
        resample: Collection[str] = (),
    ) -> None:
        for what, names in (('grid', [grid]), ('resample', resample)):
            if unknown := sorted(set(names) - set(paths)):
                raise ValueError(f'{what} has {unknown}, but there are rasters of {sorted(paths)}')
        if grid in resample:
            raise ValueError(f'{grid} is the grid to which others are resampled: leave it out')
        self._scenes: dict[str, Scene] = {}
        for name in sorted(paths):
            own = loader.loaders.get(name)
            if not isinstance(own, LoadGeoTIFF):
                raise ValueError(
                    f'{name} is loaded by {own}; for scenes, the loader of a modality is '
                    f'LoadGeoTIFF, and there are {sorted(loader.loaders)}'
                )
            self._scenes[name] = Scene(paths[name], own)
        self._resampled = frozenset(resample)
        self.grid = grid
        self._grid = self._scenes[grid]
        self.height, self.width = self._grid.height, self._grid.width
        self.crs, self.transform = self._grid.crs, self._grid.transform
        self.points, self.place = self._grid.points, self._grid.place
        self.paths = [path for scene in self._scenes.values() for path in scene.paths]
        self.files = sorted({file for scene in self._scenes.values() for file in scene.files})
        gsd = loader.distance(grid, self._grid.file_place)
        self.readings = {
            name: loader.reading(
                name, gsd if name in self._resampled else self._check(name, loader)
            )
            for name in self._scenes
        }
        self._scales = {name: self._scale(name) for name in sorted(self._resampled)}
        shapes = [
            (scene.height, scene.width)
            for name, scene in self._scenes.items()
            if name not in self._resampled
        ]
        lines = np.gcd.reduce(shapes)
        self.step = (int(self.height // lines[0]), int(self.width // lines[1]))

    def __enter__(self) -> ModalityScene:
        self._opened = ExitStack()
        for scene in self._scenes.values():
            self._opened.enter_context(scene)
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def read(self, box: Box) -> tuple[ModalityWindow, np.ndarray]:
        """Read a window, whose edges are multiples of :attr:`step`.

        Returns:
            The images, and the nodata mask, (H, W) bool, which is true where no image has data.
        """
        images = {}
        for name, scene in self._scenes.items():
            if name in self._resampled:
                dates = self._read_resampled(name, box)
            else:
                dates = _dates(scene, self._inside(scene, box))
            if any(np.isfinite(date).all(-1).any() for date in dates):
                images[name] = dates
        readings = {name: self.readings[name] for name in images}
        return ModalityWindow(images, readings, box.shape), ~with_data(images, box.shape)

    def settings(self) -> dict[str, Any]:
        """Return the state of the files and how they are read, for the settings of a run."""
        settings = {name: scene.settings() for name, scene in self._scenes.items()}
        return dict(
            rasters={name: own['rasters'] for name, own in settings.items()},
            file={file: state for own in settings.values() for file, state in own['file'].items()},
            reading={name: own['reading'] for name, own in settings.items()},
            grid=self.grid,
            resample=sorted(self._resampled),
        )

    def _check(self, name: str, loader: LoadModalities) -> float:
        """Return the gsd of a raster, after comparing its footprint with that of the grid."""
        first, other = self._grid.file_place, self._scenes[name].file_place
        gsd = loader.distance(name, other)
        try:
            check_footprints(first, loader.distance(self.grid, first), other, gsd)
        except ValueError as error:
            raise ValueError(f'{error}. Or have {name} resampled to {self.grid}') from error
        return gsd

    def _inside(self, scene: Scene, box: Box) -> Box:
        """Return a window of the grid in pixels of another raster of its footprint."""
        edges = []
        for edge, own, length in zip(
            box, (scene.height, scene.width) * 2, (self.height, self.width) * 2, strict=True
        ):
            if edge * own % length:
                raise ValueError(
                    f'{box} are not multiples of {self.step} pixels (rows, columns), between which '
                    f'pixels of {scene.paths[0]} lie'
                )
            edges.append(edge * own // length)
        return Box(*edges)

    def _scale(self, name: str) -> tuple[float, float]:
        """Return the grid's pixels per pixel of a finer raster, in rows and columns; else 1."""
        first, other = self._grid.file_place, self._scenes[name].file_place
        for place in (first, other):
            if place.crs is None or place.transform is None:
                raise ValueError(
                    f'{place.name} has no reference system or no transform, so that {other.name} '
                    f'cannot be resampled to {first.name}'
                )
        scene = self._scenes[name]
        extent = self._extent(scene, Box(0, 0, self.height, self.width))
        for (start, end), length in zip(extent, other.shape, strict=True):
            if end <= 0 or start >= length:
                raise ValueError(f'{other.name} and {first.name} have no place in common')
        # the middle of the scene, and one pixel to the right and below
        x, y = self.width // 2, self.height // 2
        pixels = [(x, y), (x + 1, y), (x, y + 1)]
        places = np.transpose([self.transform * pixel for pixel in pixels])
        projected = np.transpose(project(self.crs, scene.crs, *places))
        here, right, below = (np.array(~scene.transform * tuple(xy)) for xy in projected)
        across, down = np.abs([right - here, below - here]).max(0)
        return _whole(1 / down), _whole(1 / across)

    def _extent(self, scene: Scene, box: Box) -> list[tuple[float, float]]:
        """Return first and last row, and column, of a raster around a window of the grid."""
        corners = np.array([(x, y) for x in box[1::2] for y in box[0::2]], dtype=float)
        x, y = np.transpose([self.transform * tuple(corner) for corner in corners])
        left, bottom, right, top = transform_bounds(
            self.crs, scene.crs, x.min(), y.min(), x.max(), y.max()
        )
        columns, rows = np.transpose(
            [
                ~scene.transform * corner
                for corner in ((left, top), (right, top), (left, bottom), (right, bottom))
            ]
        )
        return [(float(places.min()), float(places.max())) for places in (rows, columns)]

    def _read_resampled(self, name: str, box: Box) -> list[np.ndarray]:
        scene = self._scenes[name]
        edges = []
        for (start, end), scale, length in zip(
            self._extent(scene, box), self._scales[name], (scene.height, scene.width), strict=True
        ):
            margin = MARGIN / scale
            first = min(max(math.floor(start - margin), 0), length)
            edges.append((first, min(max(math.ceil(end + margin), first), length)))
        (top, bottom), (left, right) = edges
        n_bands = scene.bands
        empty = np.full((n_bands, *box.shape), np.nan, np.float32)
        if top == bottom or left == right:
            return [empty.transpose(1, 2, 0) for _ in scene.paths]
        dates = []
        for image in _dates(scene, Box(top, left, bottom, right)):
            resampled, _ = reproject(
                np.ascontiguousarray(image.transpose(2, 0, 1)),
                empty.copy(),
                src_transform=scene.transform * Affine.translation(left, top),
                src_crs=scene.crs,
                src_nodata=np.nan,
                dst_transform=self.transform * Affine.translation(box.left, box.top),
                dst_crs=self.crs,
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
                # exact, and the same in all windows
                tolerance=0.0,
                YSCALE=self._scales[name][0],
                XSCALE=self._scales[name][1],
            )
            dates.append(resampled.transpose(1, 2, 0))
        return dates


def _whole(scale: float) -> float:
    """Return 1 for rasters that are not finer, by more than rounding and turning explain."""
    return 1.0 if scale > ABOUT_ONE else scale


def _dates(scene: Scene, box: Box) -> list[np.ndarray]:
    """Return the dates of a window, (H, W, bands) float32, NaN where there are no data."""
    dates = scene.read_dates(box)
    for image, nodata in dates:
        image[nodata] = np.nan
    return [image for image, _ in dates]
