"""The model of building damage learns two made pairs by heart: targets, flips, losses, score."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from overfitting import overfit
from running import run_tool

from .disasters import write_disasters

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

CONFIG = 'siamese-damage_dynamicvis-tiny_1xb8-50e-scratch_xbd-256px.py'
SIZE = (64, 64)


def test_xbd(checkout, tmp_path):
    pytest.importorskip('shapely')
    write_disasters(tmp_path, ['flood_00000000', 'fire_00000007'], SIZE[0])
    tool = checkout / 'tools/prepare_data/xbd.py'
    result = run_tool(tool, tmp_path / 'labels', tmp_path / 'targets')
    assert result.returncode == 0, result.stderr
    cfg = Config.fromfile(checkout / 'configs/change_detection' / CONFIG)
    cfg.model.backbone.img_size = SIZE
    cfg.model.test_cfg = dict(mode='whole')
    cfg.data_preprocessor.size = SIZE
    load = [dict(type='mmdynamicvis.LoadPair'), dict(type='mmdynamicvis.LoadPairLabels')]
    flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
    pack = dict(type='mmdynamicvis.PackLabelMaps')
    dataset = dict(type='mmdynamicvis.XBD')
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset = dict(dataset, pipeline=[*load, flip, pack])
    cfg.val_dataloader.dataset = dict(dataset, test_mode=True, pipeline=[*load, pack])
    source = dict(data_root=str(tmp_path))
    scores = overfit(cfg, source, {}, tmp_path / 'log', steps=200, lr=1e-3)
    assert scores['damage/score'] >= 95
    assert scores['damage/localization_f1'] >= 95
