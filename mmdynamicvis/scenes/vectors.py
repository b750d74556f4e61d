"""Polygons with attributes, in the reference system of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely

from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.work_folder import WorkFolder

DRIVERS = {'.gpkg': 'GPKG', '.geojson': 'GeoJSON'}


def check_suffix(path: Path) -> None:
    """Raise a ValueError if ``path`` is of no format that is written."""
    if path.suffix.lower() not in DRIVERS:
        raise ValueError(f'output is {path}; objects are written to *{" or *".join(DRIVERS)}')


def write_vectors(
    path: Path,
    scene: Scene,
    shapes: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    work: WorkFolder,
) -> None:
    """Write polygons; the file appears when it is complete.

    Args:
        path: .gpkg or .geojson.
        scene: What gives reference system and transform; without them, units are pixels.
        shapes: (N,) polygons in pixels of the scene.
        attributes: (N,) values of each field.
        work: Where the file is until it is complete.

    Raises:
        OSError: The file could not be written, since the disk is full for example.
    """
    affine = np.array(scene.transform).reshape(3, 3)[:2]
    placed = shapely.transform(shapes, lambda xy: xy @ affine[:, :2].T + affine[:, 2])
    crs = None if scene.crs is None else scene.crs.to_wkt()
    frame = geopandas.GeoDataFrame(attributes, geometry=placed, crs=crs)
    with work.replacing(path) as temporary:
        try:
            frame.to_file(temporary, driver=DRIVERS[path.suffix.lower()], engine='pyogrio')
            written = pyogrio.read_info(temporary, force_feature_count=True)['features']
        except RuntimeError as error:  # those of pyogrio
            raise OSError(f'cannot write {path}: {error}. Is the disk full?') from error
        if written != len(frame):
            raise OSError(f'{path} got {written} of {len(frame)} objects. Is the disk full?')
