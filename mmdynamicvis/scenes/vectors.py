"""Writing of polygons with attributes in the reference system of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import shapely

from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.work_folder import WorkFolder

DRIVERS = {'.gpkg': 'GPKG', '.geojson': 'GeoJSON'}
SIDE_FILES = ('-journal', '-wal')
"""Suffixes of files that SQLite would treat as pending changes of a GeoPackage."""


def check_output(path: Path, scene: Scene) -> None:
    """Check that objects can be written with georeferencing, without overwriting anything.

    Raises:
        FileExistsError: The file exists, or one that would be treated as a part of it.
        ValueError: The suffix is unsupported, the format cannot represent the scene's
            georeferencing, or the file is a file of the scene.
    """
    suffix = path.suffix.lower()
    if suffix not in DRIVERS:
        raise ValueError(f'output is {path}; objects are written to *{" or *".join(DRIVERS)}')
    refuse_to_overwrite([path, *(f'{path}{end}' for end in SIDE_FILES)], scene.files)
    if scene.points:
        raise ValueError(
            f'{scene.paths[0]} is placed by {scene.points} alone, by which polygons cannot be '
            'placed: bring it to a grid first, by gdalwarp for example (-rpc for RPCs)'
        )
    if DRIVERS[suffix] == 'GeoJSON' and _code(scene) is None:
        system = 'none' if scene.crs is None else f'{pyproj.CRS.from_wkt(scene.crs.to_wkt()).name}'
        raise ValueError(
            f'GeoJSON names reference systems by their codes, and that of {scene.paths[0]} '
            f'({system}) has no code: {path.name} would be taken for longitude and latitude. '
            f'Write {path.with_suffix(".gpkg").name}'
        )


def _code(scene: Scene) -> tuple[str, str] | None:
    """Return authority and code of a scene's reference system, as geopandas determines them."""
    return None if scene.crs is None else pyproj.CRS.from_wkt(scene.crs.to_wkt()).to_authority()


def write_vectors(
    path: Path,
    scene: Scene,
    shapes: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    work: WorkFolder,
) -> None:
    """Write polygons atomically.

    Args:
        path: .gpkg or .geojson file to write.
        scene: The scene, which defines reference system and transform; without a transform,
            coordinates are in pixels.
        shapes: (N,) polygons in pixels of the scene.
        attributes: (N,) values of each field.
        work: Folder that holds the file until it is complete.

    Raises:
        OSError: The file could not be written, for example because the disk is full.
    """
    affine = np.array(scene.transform).reshape(3, 3)[:2]
    placed = shapely.transform(shapes, lambda xy: xy @ affine[:, :2].T + affine[:, 2])
    crs = None if scene.crs is None else scene.crs.to_wkt()
    frame = geopandas.GeoDataFrame(attributes, geometry=placed, crs=crs)
    with work.replacing(path) as temporary:
        try:
            frame.to_file(temporary, driver=DRIVERS[path.suffix.lower()], engine='pyogrio')
            written = pyogrio.read_info(temporary, force_feature_count=True)['features']
        except RuntimeError as error:  # base class of pyogrio's errors
            raise OSError(f'cannot write {path}: {error}. Is the disk full?') from error
        if written != len(frame):
            raise OSError(f'{path} got {written} of {len(frame)} objects. Is the disk full?')
