"""An archive of scenes on a real Ray cluster: outputs, index, failures and resumption."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import geopandas
import numpy as np
import psutil
import pytest
import rasterio
from rasterio.transform import from_origin

pytest.importorskip('ray')

from mmdynamicvis.archive import infer_archive
from mmdynamicvis.scenes import Pace, infer_scene

from ..change_detection.test_semantic_scene import CHANGE, COVER, config, random_model
from ..scenes.scenes import noise, write
from ..scenes.test_infer_scene import BOXES, ROADS, Trained

QUIET = Pace(progress=False)
WINDOWS = dict(tile=64, overlap=16)


def model(checkout: Path, config: str, folder: Path) -> tuple[str, Path]:
    """Write config and weights of a small model."""
    trained = Trained(checkout / 'configs' / config, folder)
    trained.cfg.dump(folder / 'config.py')
    return str(folder / 'config.py'), trained.checkpoint


def rows_of(folder: Path) -> dict[str, dict]:
    index = geopandas.read_parquet(folder / 'index.parquet')
    assert index.crs == 'EPSG:4326'
    return {row['source'].rpartition('/')[2]: row for row in index.to_dict('records')}


def objects_of(path: Path) -> bytes:
    """Return the rows of a GeoPackage, which also holds the time of writing."""
    return geopandas.read_file(path).to_wkb().to_csv().encode()


@pytest.mark.exhaustive
def test_objects_of_scenes_some_of_which_fail(tmp_path, checkout, ray_cluster) -> None:
    config = model(checkout, BOXES, tmp_path)
    scenes = tmp_path / 'in'
    for folder in ('x', 'y'):
        (scenes / folder).mkdir(parents=True)
    pixels = noise(96, 160)
    for name, left in (('x/a', 0), ('y/a', 48), ('b', 400)):
        place = from_origin(600000 + left / 2, 5300000, 0.5, 0.5)
        write(scenes / f'{name}.tif', pixels[:, :, left % 200 : left % 200 + 96], transform=place)
    (scenes / 'broken.tif').write_text('no raster')
    write(scenes / 'nowhere.tif', noise(64, 64), crs=None)
    write(scenes / 'four.tif', noise(64, 64, bands=4))
    out = tmp_path / 'out'
    options = dict(WINDOWS, workers=1, min_score=0.0)
    made = infer_archive(scenes, out, *config, **options)
    assert made.done == 3
    rows = rows_of(out)
    assert len(rows) == 5  # two named a.tif
    reasons = {Path(source).stem: reason for source, reason in made.failed.items()}
    assert set(reasons) == {'broken', 'nowhere', 'four'}
    assert 'as a raster' in reasons['broken']
    assert 'no reference system' in reasons['nowhere']
    assert 'it has 4 bands and most scenes have 3' in reasons['four']
    assert {path.name for path in (out / 'scenes').iterdir()} == {'a.gpkg', 'y_a.gpkg', 'b.gpkg'}
    row = rows['b.tif']
    assert row['status'] == 'done'
    assert (row['height'], row['width'], row['bands'], row['windows']) == (96, 96, 3, 4)
    assert row['objects'] == len(geopandas.read_file(out / 'scenes/b.gpkg')) > 0
    with rasterio.open(scenes / 'b.tif') as file:
        left, bottom, right, top = rasterio.warp.transform_bounds(
            file.crs, 'EPSG:4326', *file.bounds
        )
    np.testing.assert_allclose(row['geometry'].bounds, (left, bottom, right, top), atol=1e-9)

    # each output is that of infer_scene, and the layer has no object twice
    for source, name in (('x/a', 'a'), ('y/a', 'y_a'), ('b', 'b')):
        alone = tmp_path / f'{name}.gpkg'
        infer_scene(
            scenes / f'{source}.tif',
            alone,
            *config,
            device='cpu',
            pace=QUIET,
            min_score=0.0,
            **WINDOWS,
        )
        assert objects_of(alone) == objects_of(out / f'scenes/{name}.gpkg')
    layer = geopandas.read_file(out / 'objects.gpkg')
    assert (
        0
        < len(layer)
        < sum(
            row['objects']
            for row in geopandas.read_parquet(out / 'index.parquet')
            .query('status == "done"')
            .to_dict('records')
        )
    )


def expected(folder: Path, scenes: list[Path], config: tuple[str, Path]) -> dict[str, bytes]:
    """Return the output of each scene by infer_scene."""
    folder.mkdir()
    for scene in scenes:
        infer_scene(scene, folder / scene.name, *config, device='cpu', pace=QUIET, **WINDOWS)
    return {scene.name: (folder / scene.name).read_bytes() for scene in scenes}


def kill_a_worker() -> None:
    """Kill -9 a process of Ray that predicts, as soon as there is one."""
    found = []
    while not found:
        time.sleep(0.01)
        with suppress(psutil.NoSuchProcess):  # one may end meanwhile
            below = psutil.Process().children(recursive=True)  # of no other cluster on the machine
            found = [process for process in below if 'r.infer' in process.name()]
    found[0].kill()


@pytest.mark.exhaustive
def test_killed_workers_killed_driver_and_second_runs(tmp_path, checkout) -> None:
    config = model(checkout, ROADS, tmp_path)
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    sizes = [64, 100, 150, 220, 300, 520] * 2
    scenes = [
        write(folder / f'{number:02}.tif', noise(size, size + number))
        for number, size in enumerate(sizes)
    ]
    command = [sys.executable, checkout / 'tools/infer_archive.py', folder, out, *config]
    command = [*command, '--workers', '2', '--tile', '64', '--overlap', '16']

    def finished() -> int:
        return len([*(out / 'scenes').glob('*.tif')]) if out.exists() else 0

    def windows_in_work() -> int:
        return len([*out.glob('scenes/*.work/*.npz')])

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait(until: Callable[[], bool]) -> None:
        while not until():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.05)

    process = start()
    wait(lambda: finished() >= 1 and windows_in_work())
    kill_a_worker()
    done = finished()
    wait(lambda: finished() >= done + 2 and windows_in_work())
    process.kill()  # kill -9 of the driver
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in (out / 'scenes').glob('*.tif')}
    assert 3 <= len(before) < len(scenes)
    process = start()
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = {path.name: path.read_bytes() for path in (out / 'scenes').iterdir()}
    assert found == expected(tmp_path / 'alone', scenes, config)
    rows = rows_of(out)
    assert len(rows) == len(scenes)
    assert {row['status'] for row in rows.values()} == {'done'}


@pytest.mark.exhaustive
def test_exit_status_and_second_runs(tmp_path, checkout) -> None:
    config = model(checkout, ROADS, tmp_path)
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    scenes = [write(folder / f'{number:02}.tif', noise(64, 64)) for number in range(2)]
    command = [sys.executable, checkout / 'tools/infer_archive.py', folder, out, *config]
    command = [*command, '--workers', '1', '--tile', '64', '--overlap', '16']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    # a scene that fails is named, and done once it is whole; a changed one is named
    (folder / 'late.tif').write_text('no raster')
    write(scenes[0], noise(70, 70))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert '2 scenes failed' in done.stderr
    assert 'changed since scenes/00.tif was made' in done.stderr
    assert 'late.tif as a raster' in done.stderr
    write(folder / 'late.tif', noise(64, 64))
    (out / 'scenes/00.tif').unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([*(out / 'scenes').iterdir()]) == len(scenes) + 1
    done = subprocess.run([*command, '--probabilities'], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'probabilities was False and is True' in done.stderr


@pytest.mark.exhaustive
def test_two_machines_of_which_one_is_lost(tmp_path, checkout, two_machines) -> None:
    """Also with more workers than there is room for: the others do not get work."""
    config = model(checkout, ROADS, tmp_path)
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    scenes = [write(folder / f'{n}.tif', noise(640, 640 + n)) for n in range(10)]
    machines, other = two_machines
    command = [sys.executable, checkout / 'tools/infer_archive.py', folder, out, *config]
    command += ['--address', machines.address, '--workers', '3']
    command += ['--tile', '64', '--overlap', '16']
    pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with subprocess.Popen(command, **pipes) as process:
        while len([*out.glob('scenes/*.work/*.npz')]) < 2 or len([*out.glob('scenes/*.work')]) < 2:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.05)
        machines.remove_node(other, allow_graceful=False)
        _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    found = {path.name: path.read_bytes() for path in (out / 'scenes').iterdir()}
    assert found == expected(tmp_path / 'alone', scenes, config)


@pytest.mark.exhaustive
def test_a_full_disk(tmp_path, checkout, disk) -> None:
    """The run says so, and goes on once there is room."""
    config = model(checkout, ROADS, tmp_path)
    folder, out = tmp_path / 'in', disk.folder / 'out'
    folder.mkdir()
    large = write(folder / 'large.tif', noise(2048, 128))
    scenes = [write(folder / f'{number}.tif', noise(64, 64)) for number in range(3)]
    command = [sys.executable, checkout / 'tools/infer_archive.py', folder, out, *config]
    command = [*command, '--workers', '1', '--tile', '64', '--overlap', '16', '--probabilities']
    disk.resize('800k')
    done = disk.run(*command)
    assert done.returncode == 1
    # the results of the large scene leave no room for the index
    assert 'index.parquet, the index of what is done and what failed: [Errno 28]' in done.stderr
    disk.resize('16m')
    done = disk.run(*command)
    assert done.returncode == 0, done.stderr
    for scene in (large, *scenes):
        alone = tmp_path / 'alone' / scene.name
        alone.parent.mkdir(exist_ok=True)
        options = dict(WINDOWS, device='cpu', probabilities=True, pace=QUIET)
        infer_scene(scene, alone, *config, **options)
        assert (disk.files / 'out/scenes' / scene.name).read_bytes() == alone.read_bytes()


@pytest.mark.exhaustive
def test_pairs_with_several_maps(tmp_path, ray_cluster) -> None:
    """A scene that lacks one of its maps is refused until the others are removed."""
    maps = dict(change=CHANGE, semantic_from=COVER, semantic_to=COVER)
    trained = config(tmp_path, maps), tmp_path / 'weights.pth'
    random_model(tmp_path)
    (tmp_path / 'in').mkdir()
    for number, name in enumerate(['a1', 'a2', 'b1', 'b2']):
        write(tmp_path / f'in/{name}.tif', noise(96, 80) + number)
    pairs = tmp_path / 'in/pairs.txt'
    pairs.write_text('a1.tif\ta2.tif\nb1.tif\tb2.tif\n')
    out = tmp_path / 'out'
    made = infer_archive(pairs, out, *trained, workers=1, **WINDOWS)
    assert made.done == 2
    rows = geopandas.read_parquet(made.index).to_dict('records')
    files = [out / name for row in rows for name in row['output'].split('\t')]
    assert len(files) == 6
    for row, pair in zip(rows, ['a', 'b'], strict=True):
        dates = [tmp_path / f'in/{pair}{date}.tif' for date in (1, 2)]
        alone = tmp_path / f'{row["name"]}.tif'
        for path in infer_scene(dates, alone, *trained, device='cpu', pace=QUIET, **WINDOWS):
            assert path.read_bytes() == (out / 'scenes' / path.name).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in files}
    assert infer_archive(pairs, out, *trained, workers=1, **WINDOWS).done == 2
    assert {path: path.stat().st_mtime_ns for path in files} == times
    content = files[0].read_bytes()
    files[0].unlink()
    (reason,) = infer_archive(pairs, out, *trained, workers=1, **WINDOWS).failed.values()
    assert f'{files[1]} exists' in reason
    for path in files[1:3]:
        path.unlink()
    assert infer_archive(pairs, out, *trained, workers=1, **WINDOWS).done == 2
    assert files[0].read_bytes() == content
