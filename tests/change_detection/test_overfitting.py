"""On a few real pairs, the model learns them by heart: loading, masks, loss and metric fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from overfitting import overfit

CONFIG = 'configs/change_detection/siamese_dynamicvis-tiny_1xb2-300i_levir-cd-256px.py'
STEPS = 200
# tiles with much change, from two cities
TILES = ('hongkong_0256_0256', 'hongkong_0384_0256', 'hongkong_0256_0000', 'rennes_0000_0256')


def config(checkout: Path) -> Config:
    """Return the small config, without random scales and colours: by heart, not in general."""
    cfg = Config.fromfile(checkout / CONFIG)
    kept = [step for step in cfg.train_pipeline if step.type != 'mmdynamicvis.EachDate']
    kept = [step for step in kept if step.type != 'RandomResize']
    cfg.train_dataloader.dataset.pipeline = kept
    return cfg


def f1(cfg: Config, dataset: dict, work_dir: Path) -> float:
    return overfit(cfg, dataset, {}, work_dir, steps=STEPS, lr=2e-3)['target/f1']


@pytest.mark.slow
@pytest.mark.shared_data
def test_levir_cd(checkout, shared_data, tmp_path):
    dataset = dict(data_root=str(shared_data / 'levir_cd'), indices=[0, 1, 2, 7])
    assert f1(config(checkout), dataset, tmp_path) >= 95


@pytest.mark.slow
@pytest.mark.shared_data
def test_oscd(checkout, shared_data, tmp_path):
    """From the publishers' layout, through the tool: what it writes is what the config reads."""
    pytest.importorskip('rasterio')
    tiles = tmp_path / 'tiles'
    tool = checkout / 'tools/prepare_data/oscd.py'
    command = [sys.executable, tool, shared_data / 'oscd', tiles]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    (tiles / 'list/few.txt').write_text('\n'.join(TILES))
    dataset = dict(data_root=str(tiles), ann_file='list/few.txt', indices=[0, 1, 2, 3])
    assert f1(config(checkout), dataset, tmp_path) >= 95
