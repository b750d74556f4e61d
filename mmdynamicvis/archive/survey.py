"""What is known of rasters before they are processed: size, bands, place, date, state."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.transform import GCPTransformer, RPCTransformer
from rasterio.warp import transform as transform_points

from mmdynamicvis.archive.dates import date_of_raster
from mmdynamicvis.scenes.remote import open_raster

EDGE = 20
"""Parts of a side of a scene whose ends are projected, because straight lines become curves."""


def survey(sources: Sequence[str]) -> list[dict[str, Any]]:
    """Return size, bands, place and date of scenes, or the reason why there are none.

    Args:
        sources: The rasters of each scene, separated by tabs; the first is read.
    """
    return [_survey(source) for source in sources]


def _survey(source: str) -> dict[str, Any]:
    path = source.split('\t')[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with open_raster(path) as file:
                found = dict(height=file.height, width=file.width, bands=file.count)
                found['transform'] = ' '.join(map(repr, file.transform[:6]))
                date = date_of_raster(file)
                found['date'] = date.isoformat() if date else ''
                whole = [(0, 0, file.height, file.width)]
                place = outlines(file, whole, EDGE)
    except OSError as error:
        return dict(status='failed', reason=str(error))
    if place is None:
        return dict(
            found,
            status='failed',
            reason='it has no reference system, so that it has no place in the index: give it one '
            '(gdal_edit.py -a_srs), or run infer_scene',
        )
    return dict(found, geometry=place[0])


def outlines(
    file: rasterio.DatasetReader, boxes: Sequence[Sequence[int]], parts: int
) -> np.ndarray | None:
    """Return the outlines of boxes of pixels in longitude and latitude.

    Args:
        file: Open raster, placed by a transform, ground control points or RPCs.
        boxes: (N, 4) top, left, bottom, right in pixels; bottom and right are exclusive.
        parts: Parts of a side whose ends are projected.

    Returns:
        (N,) polygons, in two parts where one crosses the antimeridian; None if the raster has no
        reference system.
    """
    top, left, bottom, right = np.asarray(boxes, float).T[..., None]
    steps = np.linspace(0, 1, parts + 1)[:-1]
    across = np.concatenate([steps, np.ones(parts), 1 - steps, np.zeros(parts)])
    down = np.concatenate([np.zeros(parts), steps, np.ones(parts), 1 - steps])
    columns, rows = (left + across * (right - left)).ravel(), (top + down * (bottom - top)).ravel()
    crs = crs_of(file)
    gcps, _ = file.gcps
    if crs is None:
        return None
    if file.crs is not None:
        x, y = file.transform * (columns, rows)
    elif gcps:
        with GCPTransformer(gcps) as points:
            x, y = points.xy(rows, columns, offset='ul')
    else:
        with RPCTransformer(file.rpcs, rpc_height=file.rpcs.height_off) as points:
            x, y = points.xy(rows, columns, offset='ul')
    degrees = np.stack(transform_points(crs, 'EPSG:4326', x, y), 1)
    return np.array([_polygon(ring) for ring in degrees.reshape(len(boxes), 4 * parts, 2)], object)


def crs_of(file: rasterio.DatasetReader) -> rasterio.crs.CRS | None:
    """Return the reference system of a raster's transform, ground control points or RPCs."""
    gcps, gcp_crs = file.gcps
    if file.crs is not None:
        return file.crs
    if gcps and gcp_crs is not None:
        return gcp_crs
    return None if file.rpcs is None else rasterio.crs.CRS.from_epsg(4326)


def _polygon(degrees_P2: np.ndarray) -> shapely.Polygon | shapely.MultiPolygon:
    if np.ptp(degrees_P2[:, 0]) <= 180:
        return shapely.Polygon(degrees_P2)
    whole = shapely.Polygon(np.stack([degrees_P2[:, 0] % 360, degrees_P2[:, 1]], 1))
    east = shapely.intersection(whole, shapely.box(0, -90, 180, 90))
    west = shapely.intersection(whole, shapely.box(180, -90, 360, 90))
    return shapely.union(east, shapely.transform(west, lambda xy: xy - (360, 0)))


def check_bands(
    rows: Sequence[dict[str, Any]], todo: Sequence[dict[str, Any]], bands: Sequence | None
) -> None:
    """Refuse scenes with another number of bands than most, unless bands are chosen by name.

    Args:
        rows: Rows of the index.
        todo: Those to be processed, whose status and reason may be changed.
        bands: Bands that a user chose.
    """
    if bands is not None and all(isinstance(band, str) for band in bands):
        return
    counts = Counter(row['bands'] for row in rows if row['bands'])
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    for row in todo:
        if row['status'] == 'pending' and row['bands'] != usual:
            row.update(
                status='failed',
                reason=f'it has {row["bands"]} bands and most scenes have {usual}, so that numbers '
                'of bands may mean others: choose bands by name (bands=...), or put it into an '
                'archive of its own',
            )


def state_of(source: str) -> str:
    """Return sizes and times of modification of a scene's files; empty for remote ones."""
    files = [Path(path) for path in source.split('\t')]
    states = [file.stat() for file in files if file.is_file()]
    return ' '.join(f'{state.st_size}:{state.st_mtime_ns}' for state in states)
