"""Filters of an index by place and date."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Filter(NamedTuple):
    """What images are to be searched; None is no condition."""

    area: Any = None
    """Geometry of shapely in longitude and latitude, which outlines of images must meet."""
    first: date | None = None
    """First day."""
    last: date | None = None
    """Last day."""

    @property
    def columns(self) -> list[str]:
        """Columns of an index that the filter needs."""
        by_date = self.first is not None or self.last is not None
        return [*(['geometry'] if self.area is not None else []), *(['date'] if by_date else [])]


class Selection(NamedTuple):
    """The images that a filter takes."""

    rows: Tensor
    """(M,) int64, their rows in the index, ascending."""
    unknown: int
    """Number of images without the place or date that is asked for, which are left out."""


def bbox_area(west: float, south: float, east: float, north: float) -> Any:
    """Return a box in longitude and latitude as a geometry; west > east crosses 180 degrees.

    Raises:
        ValueError: The numbers are no box in degrees.
    """
    import shapely

    box = (west, south, east, north)
    inside = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90
    if not inside or west == east:
        raise ValueError(
            f'the box is {box}; give west south east north in degrees (EPSG:4326), with west and '
            'east from -180 to 180, and -90 <= south < north <= 90'
        )
    if west < east:
        return shapely.box(*box)
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def file_area(path: str | Path) -> Any:
    """Return the union of the shapes in a vector file (GeoJSON, GeoPackage) in degrees.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It cannot be read, has no shapes, or no reference system.
    """
    import geopandas

    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist')
    try:
        frame = geopandas.read_file(path)
    except RuntimeError as error:  # base class of pyogrio's errors
        raise ValueError(f'{path} is no file of shapes: {error}') from error
    if not len(frame) or frame.geometry.is_empty.all() or frame.geometry.isna().all():
        raise ValueError(f'{path} has no shapes')
    if frame.crs is None:
        raise ValueError(f'{path} has no reference system: write it with one')
    return frame.to_crs('EPSG:4326').geometry.union_all()


def select(path: Path, wanted: Filter) -> Selection:
    """Return the images of an index that a filter takes, reading place and date alone.

    Args:
        path: .parquet file of an index, with the columns ``geometry`` (WKB) and ``date``.
        wanted: The filter.

    Raises:
        ValueError: The index has no places or dates, or the filter takes no image.
    """
    columns = wanted.columns
    has = _columns(path)
    for name, what, how in (
        ('geometry', 'places', 'windows of scenes have them (embed_archive.py --tile)'),
        ('date', 'dates', 'images of embed_archive.py have them'),
    ):
        if name in columns and name not in has:
            raise ValueError(f'the images of {path} have no {what}: {how}')
    if wanted.first and wanted.last and wanted.first > wanted.last:
        raise ValueError(f'the dates are from {wanted.first} to {wanted.last}: exchange them')
    from pyarrow import parquet

    taken, known = [], []
    with parquet.ParquetFile(path) as file:
        for rows in file.iter_batches(2**16, columns=columns):
            good, there = np.ones((2, len(rows)), bool)
            if 'geometry' in columns:
                good, there = _in_area(rows['geometry'], wanted.area)
            if 'date' in columns:
                in_time, dated = _in_time(rows['date'], wanted)
                good, there = good & in_time, there & dated
            taken.append(good)
            known.append(there)
    if not taken:
        raise ValueError(f'{path} is empty')
    good, there = np.concatenate(taken), np.concatenate(known)
    if not good.any():
        raise ValueError(
            f'none of the {len(good)} images of {path} is of this place and time'
            + (f'; {(~there).sum()} have no place or date' if not there.all() else '')
        )
    return Selection(torch.from_numpy(good.nonzero()[0]), int((~there).sum()))


def _columns(path: Path) -> list[str]:
    if path.suffix != '.parquet':
        return []
    from pyarrow import parquet

    return parquet.read_schema(path).names


def _in_area(column: Any, area: Any) -> tuple[np.ndarray, np.ndarray]:
    import shapely

    there = column.is_valid().to_numpy(zero_copy_only=False)
    shapes = shapely.from_wkb(column.to_numpy(zero_copy_only=False))
    shapely.prepare(area)
    return shapely.intersects(area, shapes), there


def _in_time(column: Any, wanted: Filter) -> tuple[np.ndarray, np.ndarray]:
    there = column.is_valid().to_numpy(zero_copy_only=False)
    days = column.to_numpy(zero_copy_only=False).astype('datetime64[D]')
    good = there.copy()
    if wanted.first is not None:
        good &= days >= np.datetime64(wanted.first)
    if wanted.last is not None:
        good &= days <= np.datetime64(wanted.last)
    return good, there
