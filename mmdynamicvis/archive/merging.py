"""One layer of the objects of all scenes, without duplicates where scenes overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from rasterio import Affine

from mmdynamicvis.scenes.merging import MARGIN, Kind, cut_off, merge_views
from mmdynamicvis.scenes.work_folder import WorkFolder


def merge_scenes(
    rows: Sequence[dict[str, Any]],
    folder: WorkFolder,
    output: Path,
    kind: Kind,
    tile: int,
    min_agreement: float,
) -> int:
    """Write the objects of scenes as one layer, each object once.

    The rule is that of :func:`mmdynamicvis.scenes.merging.merge`, with scenes in the place of
    tiles: objects of one class from two scenes are compared inside the area of both scenes, and
    those near the edge of their scene may be cut off. Only objects inside overlaps of scenes are
    compared, found by a spatial index.

    Args:
        rows: Rows of the index, of scenes that are done.
        folder: Folder that holds the layer until it is complete, and the outputs.
        output: .gpkg or .parquet file to write, with the columns ``label``, ``score`` and
            ``scene``. Its reference system is that of the scenes if they have one in common,
            otherwise longitude and latitude.
        kind: Kind of the shapes.
        tile: Side in pixels of the windows, from which the margin of edges follows.
        min_agreement: See ``merge``.

    Returns:
        The number of objects.

    Raises:
        OSError: The layer cannot be written, for example because the disk is full.
    """
    parts, cuts, frames = [], [], []
    for number, row in enumerate(rows):
        objects = geopandas.read_file(folder.path / row['output'])
        transform = Affine(*map(float, row['transform'].split()))
        shape = row['height'], row['width']
        cuts.append(_cut(objects, transform, shape, MARGIN * tile))
        corners = [(0, 0), (shape[1], 0), shape[::-1], (0, shape[0])]
        frames.append(
            geopandas.GeoSeries(
                [shapely.Polygon([transform * c for c in corners])], crs=objects.crs
            )
        )
        parts.append(objects.assign(scene=row['name'], view=number))
    crs = parts[0].crs if all(part.crs == parts[0].crs for part in parts) else 'EPSG:4326'
    footprints = np.concatenate([frame.to_crs(crs).values for frame in frames])
    found = geopandas.GeoDataFrame(
        pd.concat([part.to_crs(crs) for part in parts], ignore_index=True), crs=crs
    )
    merged = _merge(found, footprints, np.concatenate(cuts), kind, min_agreement)
    _write(merged.drop(columns='view'), output, folder)
    return len(merged)


def _cut(
    objects: geopandas.GeoDataFrame, transform: Affine, shape: tuple, margin: float
) -> np.ndarray:
    inverse = np.array(~transform).reshape(3, 3)[:2]
    # moved by a pixel, because an edge at 0 is that of the whole, beyond which is nothing
    pixels = shapely.transform(
        objects.geometry.values, lambda xy: xy @ inverse[:, :2].T + inverse[:, 2] + 1
    )
    box = (1, 1, shape[0] + 1, shape[1] + 1)
    return cut_off(np.asarray(pixels), np.tile(box, (len(pixels), 1)), (np.inf, np.inf), margin)


def _merge(
    found: geopandas.GeoDataFrame,
    footprints: np.ndarray,
    cut: np.ndarray,
    kind: Kind,
    min_agreement: float,
) -> geopandas.GeoDataFrame:
    """Return the objects without duplicates, in the order given."""
    shapes = np.asarray(found.geometry.values, object)
    views = found['view'].to_numpy()
    inside, seen = shapely.STRtree(footprints).query(shapes, predicate='intersects')
    candidates = np.unique(inside[seen != views[inside]])

    def shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        a, b = (footprints[views[candidates[index]]] for index in (first, second))
        areas = shapely.intersection(a, b)
        return np.where(shapely.area(areas) > 0, areas, None)

    labels = np.unique(found['label'].to_numpy(str), return_inverse=True)[1]
    scores = found['score'].to_numpy()
    kept, merged, best = merge_views(
        shapes[candidates],
        labels[candidates],
        scores[candidates],
        views[candidates],
        cut[candidates],
        shared,
        kind,
        min_agreement,
    )
    shapes, scores = shapes.copy(), scores.copy()
    shapes[candidates[kept]], scores[candidates[kept]] = merged, best
    gone = np.zeros(len(found), bool)
    gone[candidates] = True
    gone[candidates[kept]] = False
    return found.assign(score=scores).set_geometry(
        geopandas.GeoSeries(shapes, index=found.index, crs=found.crs)
    )[~gone]


def _write(frame: geopandas.GeoDataFrame, output: Path, folder: WorkFolder) -> None:
    with folder.replacing(output) as temporary:
        if output.suffix == '.parquet':
            frame.to_parquet(temporary, index=False)
            return
        try:
            frame.to_file(temporary, driver='GPKG', engine='pyogrio')
            written = pyogrio.read_info(temporary, force_feature_count=True)['features']
        except RuntimeError as error:  # base class of pyogrio's errors
            raise OSError(f'cannot write {output}: {error}. Is the disk full?') from error
        if written != len(frame):
            raise OSError(f'{output} got {written} of {len(frame)} objects. Is the disk full?')
