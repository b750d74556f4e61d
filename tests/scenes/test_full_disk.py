"""A disk that is really full: runs go on when there is room, and nothing is half written."""

from __future__ import annotations

import re
import sys

import pytest

from mmdynamicvis.scenes import Pace, infer_scene

from .scenes import noise, write
from .test_infer_scene import BOXES, ROADS, Trained

pytestmark = pytest.mark.exhaustive

NO_SPACE = 'No space left on device'
SAVE = """
import sys, torch
from mmdynamicvis.embedding import Embeddings
for suffix in ('npz', 'parquet', 'safetensors'):
    path = f'{sys.argv[1]}/vectors.{suffix}'
    Embeddings(['old'], torch.ones(1, 2)).save(path)
    try:
        Embeddings(['new'] * 1000, torch.rand(1000, 500)).save(path)
    except OSError as error:
        print(Embeddings.load(path).names, error)
"""


@pytest.mark.parametrize(
    ('config', 'name', 'options', 'too_small'),
    [
        (
            ROADS,
            'out.tif',
            dict(probabilities=True, cog=True),
            {
                '400k': rf"error: .*{NO_SPACE}: '.*/out\.tif\.work/tile-\d+\.npz'",
                # the GeoTIFF, then the cloud-optimized one beside it
                '3m': r'error: cannot write .*/out\.tif: .*Is the disk full\?',
                '4m': r'error: cannot write .*/out\.tif: .*Is the disk full\?',
            },
        ),
        (
            BOXES,
            'out.gpkg',
            dict(min_score=0.0),
            {
                '40k': rf"error: .*{NO_SPACE}: '.*/out\.gpkg\.work/tile-\d+\.npz'",
                '130k': r'error: cannot write .*/out\.gpkg: .*Is the disk full\?',
            },
        ),
    ],
    ids=['raster', 'vectors'],
)
def test_a_run_goes_on_when_there_is_room(
    tmp_path, checkout, disk, monkeypatch, config, name, options, too_small
):
    monkeypatch.setenv('OGR_CURRENT_DATE', '2020-01-01T00:00:00Z')
    trained = Trained(checkout / 'configs' / config, tmp_path)
    trained.cfg.dump(tmp_path / 'config.py')
    arguments = (tmp_path / 'config.py', trained.checkpoint)
    scene = write(tmp_path / 'scene.tif', noise(2048, 128))
    command = [sys.executable, checkout / 'tools/infer_scene.py', scene, disk.folder / name]
    command += [*arguments, '--tile', '128', '--device', 'cpu']
    for option, value in options.items():
        given = [] if value is True else [str(value)]
        command += [f'--{option.replace("_", "-")}', *given]
    for size, message in too_small.items():
        disk.resize(size)
        done = disk.run(*command)
        assert done.returncode == 1
        assert re.match(message, done.stderr.splitlines()[-1]), done.stderr
        assert [path.name for path in disk.files.iterdir()] == [f'{name}.work']
        assert not list((disk.files / f'{name}.work').glob('.*'))
    disk.resize('16m')
    done = disk.run(*command)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in disk.files.iterdir()] == [name]
    undisturbed = tmp_path / 'undisturbed' / name
    undisturbed.parent.mkdir()
    pace = Pace(progress=False)
    infer_scene(scene, undisturbed, *arguments, tile=128, device='cpu', pace=pace, **options)
    assert (disk.files / name).read_bytes() == undisturbed.read_bytes()


def test_vectors_stay_as_they_were(disk):
    done = disk.run(sys.executable, '-c', SAVE, disk.folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for suffix, line in zip(('npz', 'parquet', 'safetensors'), lines, strict=True):
        assert line.startswith("['old']")
        assert NO_SPACE in line
        assert f'{disk.folder}/vectors.{suffix}' in line
    assert len(list(disk.files.iterdir())) == 3
