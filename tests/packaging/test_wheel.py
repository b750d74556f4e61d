"""The suite from a built wheel, in an environment of its own: `make test-wheel`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mmdynamicvis.classification import AID

from ..classification.makers import write_scenes

CONFIG = 'dynamicvis_tiny_1xb32-10e_aid150-128px.py'

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _installed_as_a_wheel() -> None:
    origin = json.loads(distribution('mmdynamicvis').read_text('direct_url.json') or '{}')
    if origin.get('dir_info', {}).get('editable'):
        pytest.skip('mmdynamicvis is installed from its checkout: make test-wheel')


def mim(folder: Path, command: str, *arguments: str | Path) -> str:
    line = [sys.executable, '-m', 'mim', command, 'mmdynamicvis', *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_search_lists_the_models(tmp_path: Path) -> None:
    assert 'dynamicvis_base' in mim(tmp_path, 'search', '--model', 'dynamicvis')


def test_configs_train_and_test_by_name(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / 'aid', AID.METAINFO['classes'], per_class=1)
    options = [f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')]
    options = ['--work-dir', tmp_path, '--cfg-options', f'data_root={data}', *options]
    mim(tmp_path, 'train', CONFIG, *options, 'train_cfg.max_epochs=1', 'param_scheduler=None')
    checkpoint = tmp_path / 'epoch_1.pth'
    out = tmp_path / 'metrics.json'
    checked = ['--checkpoint', checkpoint, '--out', out, '--out-item', 'metrics']
    mim(tmp_path, 'test', CONFIG, *checked, *options)
    assert 0 <= json.loads(out.read_text())['accuracy/top1'] <= 100


def test_a_scene_is_mapped_by_the_shipped_weights(tmp_path: Path) -> None:
    profile = dict(driver='GTiff', width=64, height=64, count=3, dtype='uint8')
    with rasterio.open(tmp_path / 'scene.tif', 'w', crs='EPSG:32633', **profile) as file:
        file.write(np.arange(3 * 64 * 64).astype(np.uint8).reshape(3, 64, 64))
    name = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
    command = [sys.executable, '-m', 'mim', 'run', 'mmdynamicvis', 'infer_scene']
    command += ['scene.tif', 'cover.tif', name, '--device', 'cpu']
    subprocess.run(command, cwd=tmp_path, check=True)
    with rasterio.open(tmp_path / 'cover.tif') as file:
        assert file.read(1).max() < 10
