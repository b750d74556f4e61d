"""Filters of an index by place and date."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

pytest.importorskip('pyarrow', reason='needs pyarrow')

from mmdynamicvis.embedding.archive_index import rows_of, write_index
from mmdynamicvis.embedding.filters import Filter, bbox_area, file_area, select
from mmdynamicvis.embedding.partitions import Member, write_partition

DAYS = [date(2020, 1, 1), date(2020, 1, 31), None, date(2021, 5, 5)]
LEFT = [0.0, 10.0, 20.0, 179.5]


def index(folder: Path, places: bool = True, dates: list | None = DAYS) -> Path:
    """Write an index of four squares of one degree on the equator."""
    columns = dict(source=['a'] * 4, date=dates, vector=np.eye(4, dtype=np.float32))
    if places:
        boxes = [shapely.box(left, 0, left + 1, 1) for left in LEFT]
        columns |= dict.fromkeys(('height', 'width', 'row'), [64] * 4)
        columns |= dict(crs=['EPSG:4326'] * 4, nodata=[0.0] * 4, column=range(4))
        columns['geometry'] = shapely.to_wkb(boxes)
    (folder / 'vectors').mkdir(exist_ok=True)
    part = folder / 'vectors/part-000000.parquet'
    write_partition(part, columns, [Member('a', '', 0, 4)], {})
    write_index(folder / 'index.parquet', rows_of([part]), dict(partitions=[part.name]))
    return folder / 'index.parquet'


@pytest.mark.parametrize(
    ('wanted', 'rows'),
    [
        (Filter(bbox_area(-1, -1, 0.5, 5)), [0]),
        (Filter(bbox_area(0.5, -1, 20.5, 5)), [0, 1, 2]),
        (Filter(bbox_area(179, -1, -179, 5)), [3]),  # across 180 degrees
        (Filter(first=date(2020, 1, 31)), [1, 3]),
        (Filter(last=date(2020, 1, 31)), [0, 1]),
        (Filter(first=date(2020, 1, 2), last=date(2020, 12, 31)), [1]),
        (Filter(bbox_area(-1, -1, 11, 5), first=date(2020, 1, 2)), [1]),
    ],
)
def test_place_and_date(tmp_path: Path, wanted: Filter, rows: list[int]) -> None:
    found = select(index(tmp_path), wanted)
    assert found.rows.tolist() == rows
    assert found.unknown == int('date' in wanted.columns)


def test_index_is_geoparquet(tmp_path: Path) -> None:
    frame = geopandas.read_parquet(index(tmp_path))
    assert frame.columns.tolist() == ['name', 'date', 'vector', 'geometry']
    assert frame['name'].tolist() == [f'a[64:128,{i}:{i + 64}]' for i in range(4)]
    assert frame.geometry.bounds['minx'].tolist() == LEFT


@pytest.mark.parametrize('suffix', ['geojson', 'gpkg'])
def test_shapes_of_a_file(tmp_path: Path, suffix: str) -> None:
    shapes = [shapely.Point(0.5, 0.5), shapely.box(20.2, 0.2, 20.3, 0.3)]
    file = tmp_path / f'area.{suffix}'
    frame = geopandas.GeoDataFrame(geometry=shapes, crs='EPSG:4326')
    frame = frame if suffix == 'geojson' else frame.to_crs(3857)
    frame.to_file(file)
    assert select(index(tmp_path), Filter(file_area(file))).rows.tolist() == [0, 2]


def test_bad_input(tmp_path: Path) -> None:
    path = index(tmp_path)
    for box in ((0, 0, 0, 1), (0, 1, 2, 1), (0, 0, 181, 1), (0, float('nan'), 1, 1)):
        with pytest.raises(ValueError, match='west south east north in degrees'):
            bbox_area(*box)
    with pytest.raises(ValueError, match=r'none of the 4 images .* of this place and time'):
        select(path, Filter(bbox_area(50, 50, 51, 51)))
    with pytest.raises(ValueError, match='from 2021-01-01 to 2020-01-01: exchange them'):
        select(path, Filter(first=date(2021, 1, 1), last=date(2020, 1, 1)))
    with pytest.raises(ValueError, match='; 4 have no place or date'):
        select(index(tmp_path, dates=[None] * 4), Filter(first=date(2020, 1, 1)))
    with pytest.raises(ValueError, match='have no places: windows of scenes have them'):
        select(index(tmp_path, places=False), Filter(bbox_area(0, 0, 1, 1)))
    with pytest.raises(ValueError, match='have no dates'):
        select(tmp_path / 'index.safetensors', Filter(last=date(2020, 1, 1)))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        file_area(tmp_path / 'nowhere.gpkg')
    (tmp_path / 'text.gpkg').write_text('hello')
    with pytest.raises(ValueError, match='is no file of shapes'):
        file_area(tmp_path / 'text.gpkg')
    geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)]).to_file(tmp_path / 'no_crs.gpkg')
    with pytest.raises(ValueError, match='no reference system'):
        file_area(tmp_path / 'no_crs.gpkg')
    geopandas.GeoDataFrame(geometry=[], crs='EPSG:4326').to_file(tmp_path / 'empty.gpkg')
    with pytest.raises(ValueError, match='has no shapes'):
        file_area(tmp_path / 'empty.gpkg')
