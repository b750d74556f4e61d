"""How much a pixel's class depends on its window: nothing if the windows are the same."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import numpy as np
import pytest
import rasterio
import torch
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis.models.weights import save_weights

from ..segmentation.small_model import load

CONFIG = 'configs/segmentation/upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py'


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('shift', [0, 24])
def test_classes_of_shifted_windows(checkout, tmp_path, monkeypatch, shift):
    monkeypatch.setattr(torch, 'set_num_threads', lambda n: None)  # other tests keep theirs
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    benchmark = import_module('window_dependence')
    cfg = load(checkout / CONFIG, tmp_path, tmp_path / 'run')
    cfg.dump(tmp_path / 'config.py')
    init_default_scope('mmseg')
    model = MODELS.build({'data_preprocessor': cfg.data_preprocessor, **cfg.model})
    # classes that depend on the place; as it starts, a model prefers one everywhere
    seg = model.decode_head.conv_seg
    torch.nn.init.normal_(seg.weight)
    seg.weight.data.sub_(seg.weight.data.mean(1, keepdim=True))
    save_weights(model.state_dict(), tmp_path / 'model.pth')
    pixels = np.random.default_rng(0).integers(0, 256, (3, 160, 160), dtype=np.uint8)
    profile = dict(driver='GTiff', height=160, width=160, count=3, dtype='uint8')
    with rasterio.open(tmp_path / 'scene.tif', 'w', **profile) as scene:
        scene.write(pixels)
    files = [tmp_path / name for name in ('config.py', 'model.pth', 'scene.tif')]
    options = ['--size', 96, '--shift', shift, '--windows', 2, '--out', tmp_path / 'out.json']
    monkeypatch.setattr(sys, 'argv', ['window_dependence.py', *map(str, [*files, *options])])
    benchmark.main()
    rows = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert [row['selects'] for row in rows] == [True, False]
    for row in rows:
        assert 0 < row['target_share'] < 1
        assert (row['differing_share']['0'] > 0) == (shift > 0)
