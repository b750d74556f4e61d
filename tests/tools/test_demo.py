from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from synthetic import CATEGORIES

from mmdynamicvis.classification import EuroSAT

QUARTERS = [
    ('Forest', 0, 0),
    ('AnnualCrop', 0, 156),
    ('SeaLake', 156, 0),
    ('Residential', 156, 156),
]
CONFIG = 'configs/classification/dynamicvis_tiny_1xb16-demo_synthetic-128px.py'


def run_demo(checkout, *arguments):
    return subprocess.run(
        [sys.executable, str(checkout / 'tools/demo.py'), *arguments],
        capture_output=True,
        text=True,
    )


def test_config_has_the_categories_of_the_generator(checkout):
    cfg = Config.fromfile(checkout / CONFIG)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert tuple(cfg[name].dataset.classes) == CATEGORIES
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == len(CATEGORIES)


@pytest.mark.slow
@pytest.mark.xdist_group('demo')  # the longest test: not the last
def test_demo_trains_tests_and_draws(checkout, tmp_path):
    small = ('--work-dir', str(tmp_path), '--train-per-class', '4', '--val-per-class', '2')
    done = run_demo(checkout, *small, '--epochs', '2')
    assert done.returncode == 0, done.stdout + done.stderr

    # The table repeats what `mim test` reported.
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    table = dict(re.findall(r'^  \(?([\w ]+?) +([\d.]+)\)?$', done.stdout, flags=re.MULTILINE))
    assert table['accuracy'] == f'{metrics["accuracy/top1"]:.1f}'
    assert table['F1 score'] == f'{metrics["single-label/f1-score"]:.1f}'
    assert float(table['chance']) == 12.5
    assert (tmp_path / 'epoch_2.pth').is_file()

    with rasterio.open(tmp_path / 'land_cover_map.tif') as file:
        labels = file.read(1)
    quarters = [(name, labels[y : y + 100, x : x + 100]) for name, y, x in QUARTERS]
    for name, quarter in quarters:
        assert np.bincount(quarter.ravel()).argmax() == EuroSAT.METAINFO['classes'].index(name)
    assert cv2.imread(str(tmp_path / 'land_cover.png')).std() > 20

    picture = cv2.imread(str(tmp_path / 'demo.png'))
    # Eight rows of an image and four stages.
    assert picture.shape[0] > picture.shape[1] > 600
    assert picture.std() > 20
    first = next((tmp_path / 'data/crossroads').glob('*4.png'))
    colors = {tuple(c) for c in cv2.imread(str(first)).reshape(-1, 3)}
    shown = {tuple(c) for c in np.unique(picture.reshape(-1, 3), axis=0)}
    assert len(colors & shown) > 0.5 * len(colors), 'the test image is not in the picture'


def in_process(checkout, monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['demo.py', *map(str, arguments)])
    runpy.run_path(str(checkout / 'tools/demo.py'), run_name='demo')['main']()


def test_demo_refuses_a_foreign_data_folder(checkout, tmp_path, monkeypatch):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/mine.txt').write_text('mine')
    with pytest.raises(SystemExit, match='is no synthetic dataset'):
        in_process(checkout, monkeypatch, '--work-dir', tmp_path)
    assert [p.name for p in tmp_path.rglob('*')] == ['data', 'mine.txt']


def test_demo_refuses_too_few_epochs(checkout, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        in_process(checkout, monkeypatch, '--epochs', '1')
    assert '--epochs is 1' in capsys.readouterr().err
