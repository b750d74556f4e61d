"""Pictures of predictions on GeoTIFFs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import HOOKS, MODELS, init_default_scope
from PIL import Image

from .makers import SIZE, write_bands
from .small_model import load


def test_a_picture_has_three_bands():
    with pytest.raises(ValueError, match=r'bands is \[1\]; give three'):
        HOOKS.build(dict(type='mmdynamicvis.BandsVisualizationHook', bands=[1]))


@pytest.mark.exhaustive
def test_the_tool_draws_thirteen_bands(tmp_path, checkout):
    write_bands(tmp_path / 'data', 13, 'uint16')
    name = 'upernet_dynamicvis-base_1xb8-200e-scratch_sentinel2-256px.py'
    cfg = load(checkout / 'configs/segmentation' / name, tmp_path / 'data', tmp_path / 'work')
    cfg.dump(tmp_path / 'small.py')
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'random.pth')
    command = [sys.executable, checkout / 'tools/test.py', 'small.py', 'random.pth']
    command += ['--show-dir', 'seen']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures = sorted(tmp_path.glob('seen/**/*.png'))
    assert [picture.name for picture in pictures] == ['test_0.tif_1.png', 'test_1.tif_2.png']
    for picture in pictures:
        annotation, prediction = np.split(np.array(Image.open(picture)), 2, axis=1)
        assert prediction.shape == (SIZE, SIZE, 3)
        # without data, and labeled 255 there, which is no class; then the image shines through
        assert (annotation[:4] == 0).all()
        assert annotation[4:].std() > 10
