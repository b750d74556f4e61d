"""Objects of overlapping scenes are kept once, whatever their reference systems."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

pytest.importorskip('ray')

from mmdynamicvis.archive.index import ArchiveFolder
from mmdynamicvis.archive.merging import merge_scenes

from ..scenes.scenes import noise, write

X, Y = 600000, 5300000


def scene(folder: Path, name: str, left: int, boxes: list[tuple], crs: str = 'EPSG:32630') -> dict:
    """Write a raster of 64 m x 64 m, and objects (minx, maxx, label, score) at its middle."""
    raster = write(folder / f'{name}.tif', noise(64, 64), transform=from_origin(X + left, Y, 1, 1))
    shapes = [shapely.box(X + a, Y - 40, X + b, Y - 30) for a, b, _, _ in boxes]
    columns = dict(label=[box[2] for box in boxes], score=[box[3] for box in boxes])
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs='EPSG:32630')
    frame.to_crs(crs).to_file(folder / f'{name}.gpkg')
    return row(raster)


def row(raster: Path) -> dict:
    """Return the row of the index of a raster."""
    with rasterio.open(raster) as file:
        transform = ' '.join(map(repr, file.transform[:6]))
        return dict(
            name=raster.stem,
            output=f'../{raster.stem}.gpkg',
            transform=transform,
            height=file.height,
            width=file.width,
        )


@pytest.mark.parametrize('suffix', ['gpkg', 'parquet'])
def test_duplicates_and_parts_across_an_edge(tmp_path: Path, suffix: str) -> None:
    rows = [
        # found twice; cut by the edge at 64 and whole in the other; alone; cut in both
        scene(
            tmp_path,
            'a',
            0,
            [(50, 60, 'x', 0.5), (58, 64, 'y', 0.9), (5, 9, 'x', 1), (20, 64, 'z', 0.6)],
        ),
        scene(
            tmp_path,
            'b',
            48,
            [(50.5, 60, 'x', 0.7), (58, 70, 'y', 0.4), (48, 90, 'z', 0.8), (55, 60, 'w', 0.3)],
        ),
    ]
    with ArchiveFolder(tmp_path / 'out', {}) as folder:
        output = tmp_path / f'out/objects.{suffix}'
        assert merge_scenes(rows, folder, output, 'boxes', 64, 0.5) == 5
    found = geopandas.read_file(output) if suffix == 'gpkg' else geopandas.read_parquet(output)
    assert found.crs == 'EPSG:32630'
    edges = [
        (label, name, score, *np.round(np.array(shape.bounds)[[0, 2]] - X, 6).tolist())
        for label, name, score, shape in zip(
            found['label'], found['scene'], found['score'], found.geometry, strict=True
        )
    ]
    assert sorted(edges) == [
        ('w', 'b', 0.3, 55, 60),
        ('x', 'a', 1.0, 5, 9),
        ('x', 'b', 0.7, 50.5, 60),
        ('y', 'b', 0.4, 58, 70),
        ('z', 'a', 0.8, 20, 90),
    ]


def test_scenes_of_two_zones(tmp_path: Path) -> None:
    a = scene(tmp_path, 'a', 0, [(50, 60, 'x', 0.5), (5, 9, 'x', 0.4)])
    scene(tmp_path, 'b', 48, [(50, 60, 'x', 0.7)])
    # the same objects as a map in the next zone has them
    frame = geopandas.read_file(tmp_path / 'b.gpkg').to_crs('EPSG:32631')
    bounds = frame.total_bounds
    frame.to_file(tmp_path / 'c.gpkg')
    origin = from_origin(bounds[0] - 20, bounds[3] + 20, 1, 1)
    raster = write(tmp_path / 'c.tif', noise(64, 64), transform=origin, crs='EPSG:32631')
    with ArchiveFolder(tmp_path / 'out', {}) as folder:
        output = tmp_path / 'out/objects.gpkg'
        assert merge_scenes([a, row(raster)], folder, output, 'boxes', 64, 0.5) == 2
    found = geopandas.read_file(output)
    assert found.crs == 'EPSG:4326'
    assert sorted(zip(found['scene'], found['score'], strict=True)) == [('a', 0.4), ('c', 0.7)]
