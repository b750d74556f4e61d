"""The benchmark of segmentation, on a training of two steps."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from mmdynamicvis.engine.launch import build_runner

from ..segmentation.makers import write_cil_roads
from ..segmentation.small_model import load

STEM = 'upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px'


@pytest.fixture
def segmentation(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    return import_module('segmentation')


def train(checkout: Path, folder: Path, steps: int = 2) -> Path:
    """Train the small model, with its data in the folder; return that of the run."""
    write_cil_roads(folder / 'data')
    cfg = load(checkout / f'configs/segmentation/{STEM}.py', folder / 'data', folder / 'run')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=steps)
    cfg.launcher = 'none'
    build_runner(cfg).train()
    return folder / 'run'


@pytest.mark.exhaustive
def test_figures_of_a_training(segmentation, checkout, tmp_path, monkeypatch):
    folder = train(checkout, tmp_path)
    out, curves, maps = (tmp_path / name for name in ('figures.json', 'curves.png', 'maps.png'))
    monkeypatch.setattr(segmentation, 'REPEATS', 1)
    options = ['--out', out, '--curves', curves, '--maps', maps]
    monkeypatch.setattr(sys, 'argv', ['segmentation.py', *map(str, [folder, *options])])
    segmentation.main()
    (row,) = json.loads(out.read_text())['rows']
    assert (row['data'], row['backbone']) == ('cil-roads-256px', 'dynamicvis-tiny')
    assert row['config'] == f'{STEM}.py'
    assert row['step_s'] > 0
    assert row['step_growth_mb'] > 1
    assert row['curves'].keys() == set(segmentation.METRICS)
    assert all(curve.keys() == {'2'} for curve in row['curves'].values())
    assert Image.open(curves).width > 100
    colors = {color for _, color in Image.open(maps).convert('RGB').getcolors(2**24)}
    assert {(0, 0, 0), (255, 0, 0)} <= colors or {(255, 255, 255), (0, 255, 0)} <= colors


def test_only_finished_trainings_are_compared(segmentation, tmp_path):
    with pytest.raises(ValueError, match=r'holds 0 files \*\.dump\.py; give the folder of one run'):
        segmentation.read_run(tmp_path)
    (tmp_path / 'x.dump.py').write_text('train_cfg = dict(max_iters=2)\n')
    with pytest.raises(ValueError, match='the training is not finished; repeat it with --resume'):
        segmentation.read_run(tmp_path)
