"""Configs of open-cd on rasters, by open-cd itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import rasterio
from mmengine.config import Config

from mmdynamicvis.scenes import Pace, infer_scene

from .scenes import noise, write
from .test_infer_scene import Trained

OURS = 'change_detection/siamese_dynamicvis-base_1xb8-800e_oscd-512px.py'
THEIRS = 'change_detection/opencd-siamese_dynamicvis-base_1xb8-800e-scratch_oscd-512px.py'


@pytest.mark.opencd
@pytest.mark.slow
def test_a_pair_as_by_our_own_model(tmp_path, checkout):
    """Two configs of one model: open-cd's must say of a pair what ours says, from its weights."""
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:
        pytest.skip('open-cd is not installed')
    trained = Trained(checkout / 'configs' / OURS, tmp_path)
    config = Config.fromfile(checkout / 'configs' / THEIRS, import_custom_modules=False)
    # as small as ours was made
    config.model = dict(trained.cfg.model, type=config.model.type)
    config.dump(tmp_path / 'theirs.py')
    blocks = np.kron(noise(40, 25), np.ones((1, 8, 8), np.uint8))
    pair = [write(tmp_path / 'a.tif', blocks), write(tmp_path / 'b.tif', blocks[::-1])]
    options = dict(tile=256, device='cpu', pace=Pace(progress=False))
    infer_scene(pair, tmp_path / 'ours.tif', trained.cfg, trained.checkpoint, **options)
    # in a process of its own: open-cd registers what it has when it is imported
    command = [sys.executable, checkout / 'tools/infer_scene.py', *pair, tmp_path / 'theirs.tif']
    command += [tmp_path / 'theirs.py', trained.checkpoint, '--tile', '256', '--device', 'cpu']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / 'ours.tif') as a, rasterio.open(tmp_path / 'theirs.tif') as b:
        ours, theirs = a.read(1), b.read(1)
        assert (a.crs, a.transform) == (b.crs, b.transform)
    assert (ours == theirs).all()
    assert 0 < ours.mean() < 1
