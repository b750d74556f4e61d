"""Partitions of vectors: rows, places, dates, failures, resumption."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import psutil
import pytest
import rasterio
import shapely
import torch
from PIL import Image
from pyarrow import parquet
from rasterio.transform import from_origin

pytest.importorskip('ray')

from mmdynamicvis import DynamicVis
from mmdynamicvis.archive import embed, embed_archive
from mmdynamicvis.archive.dates import parse_date
from mmdynamicvis.archive.pool import DIED
from mmdynamicvis.archive.survey import outlines, survey
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.embedding.partitions import partitions_of, read_header
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.scenes.grid import Grid

from ..scenes.scenes import noise, placed_by_points, write

ARCH = dict(embed_dims=(8, 12, 16, 64), depths=(1, 1, 1, 1))
TILE = 64


class Killed(BaseException):
    """Ends a run as a signal would."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / 'model.safetensors'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), path)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run workers in this process, without Ray; the options are how they and the run end."""
    ends: dict[str, Any] = dict(after=None, died=(), starts=0)

    class Pool:
        def __init__(self, make: Callable[[], Any]) -> None:
            self.make, self.workers = make, []

        def hire(self, count: int) -> None:
            self.workers += [self.make() for _ in range(count - len(self.workers))]

        def run(self, calls: Sequence) -> Iterator[tuple[int, Any]]:
            numbers = list(range(len(calls)))
            random.Random(0).shuffle(numbers)
            for done, number in enumerate(numbers):
                if ends['after'] == done:
                    raise Killed
                if number in ends['died']:
                    yield number, dict(status='failed', reason=DIED)
                else:
                    yield number, calls[number](self.workers[number % len(self.workers)])

    def start(address: str | None) -> nullcontext:
        ends['starts'] += 1
        return nullcontext()

    class Method:
        def __init__(self, function) -> None:
            self.remote = function

    class Worker(embed.PartitionWorker):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            self.embed = Method(self.embed)

    monkeypatch.setattr(embed, 'cluster', start)
    monkeypatch.setattr(embed, 'maker', lambda kind, *resources: Worker)
    monkeypatch.setattr(embed, 'capacity', lambda *resources: 2)
    monkeypatch.setattr(embed, 'Pool', Pool)
    monkeypatch.setattr(
        embed,
        'survey_by',
        lambda pool, rows: [row.update(*survey([row['source']])) for row in rows],
    )
    return ends


def frame_of(folder: Path) -> geopandas.GeoDataFrame:
    """Return all rows, whose places must be those of the partitions' order."""
    return geopandas.pd.concat([geopandas.read_parquet(path) for path in partitions_of(folder)])


def keys_of(frame: Any) -> list[tuple]:
    return sorted(frame[['source', 'row', 'column', 'height', 'width']].itertuples(index=False))


def expected_keys(scenes: Sequence[Path]) -> list[tuple]:
    keys = []
    for scene in scenes:
        with rasterio.open(scene) as file:
            grid = Grid(file.height, file.width, TILE, 0)
        boxes = (grid[number] for number in range(len(grid)))
        keys += [(str(scene), box.top, box.left, *box.shape) for box in boxes]
    return sorted(keys)


def test_windows_have_vectors_places_and_dates(tmp_path: Path, model: Path, here: dict) -> None:
    scenes = tmp_path / 'in'
    scenes.mkdir()
    pixels = noise(150, 100)
    pixels[:, :64, :64] = 0
    pixels[:, 64:74, 64:] = 0
    a = write(scenes / 'a.tif', pixels, nodata=0)
    with rasterio.open(a, 'r+') as file:
        file.update_tags(TIFFTAG_DATETIME='2021:07:04 11:00:00')
    b = placed_by_points(scenes / 'b.tif', 'gcps')
    made = embed_archive(scenes, tmp_path / 'out', model, tile=TILE, rows=3)
    assert (made.vectors, made.done, made.failed) == (6, 2, {})
    frame = frame_of(tmp_path / 'out')
    # the window without data has no row
    assert keys_of(frame) == [k for k in expected_keys([a, b]) if k[:3] != (str(a), 0, 0)]
    assert frame.crs == 'OGC:CRS84'
    assert [read_header(path).rows for path in partitions_of(tmp_path / 'out')] == [2, 3, 1]
    by_key = {
        (Path(row['source']).stem, row['row'], row['column']): row
        for row in frame.to_dict('records')
    }
    row = by_key['a', 64, 36]
    assert (row['crs'], row['date']) == ('EPSG:32630', date(2021, 7, 4))
    assert row['nodata'] == pytest.approx(36 * 10 / 64**2)
    # the vector is that of an image with these pixels, and the place that of its corners
    window = torch.from_numpy(pixels[:, 64:128, 36:100])
    torch.testing.assert_close(
        torch.tensor(np.array(row['vector'])), Embedder(model, device='cpu')([window])[0]
    )
    corners = geopandas.GeoSeries([shapely.box(600018, 5299936, 600050, 5299968)], crs=32630)
    (expected,) = corners.to_crs(4326)
    assert row['geometry'].hausdorff_distance(expected) < 1e-9
    assert by_key['b', 0, 0]['crs'] == 'EPSG:32633'
    assert by_key['b', 0, 0]['date'] is None
    index = geopandas.read_parquet(made.index)
    assert index['windows'].tolist() == [6, 1]
    assert index['date'].tolist() == ['2021-07-04', '']
    assert set(index['status']) == {'done'}


def test_images_have_vectors_and_dates(tmp_path: Path, model: Path, here: dict) -> None:
    images = tmp_path / 'in'
    images.mkdir()
    for number in range(3):
        pixels = noise(64, 64 + 32 * number).transpose(1, 2, 0)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f'2020:01:0{number + 1} 10:00:00'
        Image.fromarray(pixels).save(images / f'{number}.jpg', exif=exif)
    write(images / '3.tif', noise(64, 64))
    (images / '4.jpg').write_bytes(b'no image')
    Image.fromarray(noise(16, 16).transpose(1, 2, 0)).save(images / '5.png')
    made = embed_archive(images, tmp_path / 'out', model, rows=2)
    assert (made.vectors, made.done) == (4, 4)
    reasons = {Path(source).name: reason for source, reason in made.failed.items()}
    assert set(reasons) == {'4.jpg', '5.png'}
    assert '16 x 16 pixels, but the backbone needs' in reasons['5.png']
    tables = [parquet.read_table(path) for path in partitions_of(tmp_path / 'out')]
    assert tables[0].schema.names == ['source', 'date', 'vector']
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row['date'] for row in rows] == [*(date(2020, 1, day) for day in (1, 2, 3)), None]
    paths = sorted(images.iterdir())[:4]
    expected = Embedder(model, device='cpu')(paths)
    torch.testing.assert_close(torch.tensor([row['vector'] for row in rows]), expected)


def test_rows_are_there_once_whatever_ends_a_run(tmp_path: Path, model: Path, here: dict) -> None:
    scenes, out = tmp_path / 'in', tmp_path / 'out'
    scenes.mkdir()
    paths = [write(scenes / f'{n}.tif', noise(64 * (1 + n % 3), 100 + 64 * n)) for n in range(4)]
    options = dict(tile=TILE, rows=4)
    sizes = iter((4, 3, 5, 7))
    for after in (0, 2, 1):
        here['after'] = after
        with pytest.raises(Killed):
            embed_archive(scenes, out, model, **dict(options, rows=next(sizes)))
    # a partition of a worker that was killed with its driver, and an archive that grows
    (out / '.mmdynamicvis-left').mkdir()
    (out / '.mmdynamicvis-left/0-host-1.parquet').write_bytes(b'PAR1')
    paths.insert(0, write(scenes / '00.tif', noise(70, 64)))
    here.update(after=None, died={1})
    made = embed_archive(scenes, out, model, **dict(options, rows=next(sizes)))
    assert made.failed and set(made.failed.values()) == {DIED}
    files = partitions_of(out)
    before = {path: path.read_bytes() for path in files}
    here['died'] = ()
    made = embed_archive(scenes, out, model, **options)
    assert (made.done, made.failed) == (5, {})
    assert keys_of(frame_of(out)) == expected_keys(paths)
    assert made.vectors == len(expected_keys(paths))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert sorted(path.name for path in out.iterdir()) == [
        'index.parquet',
        'mmdynamicvis-run.json',
        'vectors',
    ]

    # nothing is left to do; a partition that is lost is made again
    states = {path: path.stat().st_mtime_ns for path in partitions_of(out)}
    starts = here['starts']
    again = embed_archive(scenes, out, model, **options)
    assert again == made
    assert here['starts'] == starts  # of a cluster, which takes seconds
    assert {path: path.stat().st_mtime_ns for path in partitions_of(out)} == states
    min(states).unlink()
    (out / 'index.parquet').unlink()
    embed_archive(scenes, out, model, **options)
    assert keys_of(frame_of(out)) == expected_keys(paths)


def test_failures_do_not_stop_others(tmp_path: Path, model: Path, here: dict) -> None:
    scenes, out = tmp_path / 'in', tmp_path / 'out'
    scenes.mkdir()
    good = write(scenes / 'a.tif', noise(130, 64))
    late = write(scenes / 'b.tif', noise(64, 64))
    whole = late.read_bytes()
    late.write_bytes(whole[:-4000])  # its header is whole
    write(scenes / 'four.tif', noise(64, 64, bands=4))
    write(scenes / 'nowhere.tif', noise(64, 64), crs=None)
    (scenes / 'text.tif').write_text('no raster')
    made = embed_archive(scenes, out, model, tile=TILE)
    reasons = {Path(source).stem: reason for source, reason in made.failed.items()}
    assert set(reasons) == {'b', 'four', 'nowhere', 'text'}
    assert 'OSError: cannot read rows 0 to' in reasons['b']
    assert '4 bands and most scenes have 3' in reasons['four']
    assert keys_of(frame_of(out)) == expected_keys([good])
    index = geopandas.read_parquet(made.index).set_index('source')
    assert index['status'].to_dict() == {
        str(path): 'done' if path == good else 'failed' for path in scenes.iterdir()
    }
    late.write_bytes(whole)
    assert embed_archive(scenes, out, model, tile=TILE).done == 2
    assert keys_of(frame_of(out)) == expected_keys([good, late])
    write(good, noise(140, 64))
    made = embed_archive(scenes, out, model, tile=TILE)
    assert (
        'it has changed since its vectors were made: remove vectors/part-000000.parquet'
        in (made.failed[str(good)])
    )


def test_other_settings_and_bad_input(tmp_path: Path, model: Path, here: dict) -> None:
    scenes, out = tmp_path / 'in', tmp_path / 'out'
    scenes.mkdir()
    write(scenes / 'a.tif', noise(64, 64))
    embed_archive(scenes, out, model, tile=TILE)
    for options, message in (
        (dict(tile=96), 'tile was 64 and is 96'),
        (dict(tile=TILE, date='2020-01-01'), 'date was None and is 2020-01-01'),
        (dict(tile=TILE, mean=(1, 2, 3)), 'options mean was None'),
        (dict(), 'tile was 64 and is None'),
        (dict(tile=16), 'tile is 16; the backbone needs 32'),
        (dict(tile=TILE, overlap=40), 'overlap is 40'),
        (dict(nodata=0), 'nodata is for windows of scenes'),
        (dict(tile=TILE, color=1), 'unknown options color'),
        (dict(tile=TILE, rows=0), 'rows is 0'),
        (dict(tile=TILE, date='May'), "'May' is no date"),
    ):
        with pytest.raises(ValueError, match=message):
            embed_archive(scenes, out, model, **options)
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    with pytest.raises(ValueError, match='digests was'):
        embed_archive(scenes, out, model, tile=TILE)
    partitions_of(out)[0].write_bytes(b'PAR1')
    with pytest.raises(ValueError, match='holds the results of another run'):
        embed_archive(scenes, out, model, tile=TILE)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        embed_archive(tmp_path / 'nowhere', out, model)


def test_damaged_partition_is_named(tmp_path: Path, model: Path, here: dict) -> None:
    scenes, out = tmp_path / 'in', tmp_path / 'out'
    scenes.mkdir()
    write(scenes / 'a.tif', noise(64, 64))
    embed_archive(scenes, out, model, tile=TILE)
    (path,) = partitions_of(out)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r'part-000000\.parquet is damaged or no partition'):
        embed_archive(scenes, out, model, tile=TILE)


def test_dates_of_items_and_of_all(tmp_path: Path, model: Path, here: dict) -> None:
    write(tmp_path / 'a.tif', noise(64, 64))
    item = dict(
        type='Feature',
        stac_version='1.0.0',
        id='one',
        geometry=None,
        properties=dict(datetime='2024-05-01T23:30:00-02:00'),
        links=[],
        assets=dict(visual=dict(href='a.tif')),
    )
    items = tmp_path / 'items.json'
    items.write_text(json.dumps(dict(type='FeatureCollection', features=[item])))
    embed_archive(items, tmp_path / 'item', model, tile=TILE)
    assert frame_of(tmp_path / 'item')['date'].tolist() == [date(2024, 5, 2)]  # in UTC
    embed_archive(items, tmp_path / 'all', model, tile=TILE, date='2000-02-29')
    assert frame_of(tmp_path / 'all')['date'].tolist() == [date(2000, 2, 29)]


def test_entries_that_are_none(tmp_path: Path, model: Path, here: dict) -> None:
    path = write(tmp_path / 'a.tif', noise(64, 64))
    listed = tmp_path / 'list.txt'
    listed.write_text(f'a.tif\nhttps://host/b.tif\na.tif\t{path}\n{path}\n')
    made = embed_archive(listed, tmp_path / 'out', model)
    assert (made.done, made.vectors) == (1, 1)
    reasons = made.failed
    assert 'it is remote' in reasons['https://host/b.tif']
    assert '2 rasters' in reasons[f'{path}\t{path}']
    assert 'listed twice' in reasons[str(path)]


def test_texts_of_dates() -> None:
    texts = ('2024-05-01', '2024-05-01T10:00:00Z', '2024:05:01 10:00:00', '2024-05-01 10:00:00.5')
    assert {parse_date(text) for text in texts} == {date(2024, 5, 1)}
    for text in ('', '0000:00:00 00:00:00', 'today', '2024-13-01'):
        with pytest.raises(ValueError, match='no date'):
            parse_date(text)


def test_outline_across_the_antimeridian(tmp_path: Path) -> None:
    place = dict(crs='EPSG:32601', transform=from_origin(200000, 7600000, 1000, 1000))
    path = write(tmp_path / 'a.tif', noise(64, 200), **place)
    with rasterio.open(path) as file:
        (found,) = outlines(file, [(0, 0, 64, 200)], 4)
    assert found.geom_type == 'MultiPolygon' and found.is_valid
    assert found.intersects(shapely.Point(179.9, 68.2))
    assert found.intersects(shapely.Point(-179.9, 68.2))
    assert not found.intersects(shapely.Point(0, 68.2))
    assert found.area < 10


@pytest.mark.exhaustive
def test_kill_of_worker_and_driver(tmp_path: Path, checkout: Path, model: Path) -> None:
    scenes, out = tmp_path / 'in', tmp_path / 'out'
    scenes.mkdir()
    paths = [write(scenes / f'{n:02}.tif', noise(640, 640 + 64 * n)) for n in range(6)]
    (scenes / 'text.tif').write_text('no raster')
    command = [sys.executable, checkout / 'tools/embed_archive.py', scenes, out]
    command += ['--model', model, '--tile', str(TILE), '--rows', '20', '--workers', '2']

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait(number: int) -> None:
        while len(partitions_of(out)) < number:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)

    process = start()
    wait(2)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if child.name().endswith('.embed')]
    workers[0].kill()
    wait(len(partitions_of(out)) + 2)
    os.kill(process.pid, 9)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in partitions_of(out)}
    assert 4 <= len(before) < 30
    process = start()
    said, errors = process.communicate()
    assert process.returncode == 1
    assert b'1 sources failed' in errors and b'text.tif as a raster' in errors
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert keys_of(frame_of(out)) == expected_keys(paths)
    assert f'{len(expected_keys(paths))} vectors in' in said.decode()
