"""Archives of all kinds are listed; what is no scene has a reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import geopandas
import pytest
import shapely

pytest.importorskip('ray')

from mmdynamicvis.archive.listing import Entry, list_scenes


def item(name: str, **assets: dict) -> dict:
    return dict(
        type='Feature',
        stac_version='1.0.0',
        id=name,
        geometry=dict(type='Point', coordinates=[7, 50]),
        bbox=[7, 50, 7, 50],
        properties=dict(datetime='2024-05-01T00:00:00Z'),
        links=[],
        assets=assets,
    )


def test_folder_with_folders_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('b/x.TIF', 'a/x.tif', 'a/notes.txt', 'c.jp2'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(Path(*entry.sources).relative_to(tmp_path)) for entry in list_scenes(tmp_path)]
    assert names == ['a/x.tif', 'b/x.TIF', 'c.jp2']
    monkeypatch.chdir(tmp_path.parent)
    assert list_scenes(tmp_path.name) == list_scenes(tmp_path)


def test_text_with_dates_urls_and_a_repeated_scene(tmp_path: Path) -> None:
    file = tmp_path / 'scenes.txt'
    file.write_text(
        '# mine\n\nx.tif\ty.tif\nhttps://host/z.tif\n./x.tif\t/../tmp/../y.tif\nx.tif\n'
    )
    first, second, third, fourth = list_scenes(file)
    assert first == Entry((f'{tmp_path}/x.tif', f'{tmp_path}/y.tif'))
    assert second == Entry(('https://host/z.tif',))
    assert not third.reason
    assert not fourth.reason
    file.write_text('x.tif\n./x.tif\n')
    assert [entry.reason[:18] for entry in list_scenes(file)] == ['', 'it is listed twice']


@pytest.mark.parametrize('suffix', ['gpkg', 'parquet'])
def test_index_of_footprints(tmp_path: Path, suffix: str) -> None:
    columns = dict(location=['a.tif', None], other=['b.tif', 'c.tif'])
    frame = geopandas.GeoDataFrame(columns, geometry=[shapely.Point(0, 0)] * 2, crs='EPSG:4326')
    file = tmp_path / f'index.{suffix}'
    frame.to_file(file) if suffix == 'gpkg' else frame.to_parquet(file)
    found = list_scenes(file)
    assert found == [
        Entry((f'{tmp_path}/a.tif',)),
        Entry(('row 2',), 'it has no path in location'),
    ]
    dates = list_scenes(file, ['location', 'other'])
    assert dates[0].sources == (f'{tmp_path}/a.tif', f'{tmp_path}/b.tif')
    with pytest.raises(ValueError, match=r'columns location, other, geometry: name those'):
        list_scenes(file, ['nothing'])


def test_item_collection(tmp_path: Path) -> None:
    items = [
        item('one', visual=dict(href='./one.tif', roles=['data']), thumbnail=dict(href='t.png')),
        item('two', thumbnail=dict(href='t.png'), metadata=dict(href='m.xml')),
        item('three', visual=dict(href='https://host/three.tif')),
    ]
    file = tmp_path / 'items.json'
    file.write_text(json.dumps(dict(type='FeatureCollection', features=items)))
    one, two, three = list_scenes(file)
    assert Path(*one.sources) == tmp_path / 'one.tif'
    assert two == Entry(('two',), 'it has the assets thumbnail, metadata: name one (fields=...)')
    assert three == Entry(('https://host/three.tif',), date='2024-05-01T00:00:00+00:00')
    assert list_scenes(file, ['visual'])[1].reason == (
        'it has no asset visual, its assets are thumbnail, metadata'
    )
    file.write_text('{"type": "Feature"}')
    with pytest.raises(ValueError, match=r'items\.json is no item collection of STAC'):
        list_scenes(file)


def test_what_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere'):
        list_scenes(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='has no scenes'):
        list_scenes(tmp_path)
    (tmp_path / 'x.doc').touch()
    with pytest.raises(ValueError, match='is no archive'):
        list_scenes(tmp_path / 'x.doc')


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'ray', None)
    monkeypatch.delitem(sys.modules, 'mmdynamicvis.archive.ray_cluster')
    with pytest.raises(ImportError, match=r"pip install 'mmdynamicvis\[archive\]'"):
        import mmdynamicvis.archive.ray_cluster  # noqa: F401
