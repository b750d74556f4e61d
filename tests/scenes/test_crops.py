"""Configs that test images in crops: on scenes, a window is a crop."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio

from mmdynamicvis.scenes import Pace, SceneModel, infer_scene

from .scenes import noise, write
from .test_infer_scene import BOXES, CHANGE, ROADS, Trained

RESIZED = 'change_detection/siamese_dynamicvis-tiny_1xb8-800e-scratch_levir-cd-512px.py'
QUIET = Pace(progress=False)


@pytest.mark.parametrize(
    ('config', 'tile'),
    # images of 1024 in crops of 512; in crops of 512; of 256; resized to 256 without crops
    [(RESIZED, 512), (ROADS, 512), (CHANGE, 256), (BOXES, 256)],
)
def test_windows_have_the_size_of_a_crop(tmp_path, checkout, config, tile):
    trained = Trained(checkout / 'configs' / config, tmp_path)
    model = SceneModel(trained.cfg, trained.checkpoint, 'cpu')
    assert model.tile == tile
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.warn_of_seams(tile)


def test_a_window_is_not_cut(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    blocks = np.kron(noise(20, 22), np.ones((1, 8, 8), np.uint8))
    scene = write(tmp_path / 'scene.tif', blocks)
    slide = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    found = []
    for test_cfg, tile in ((slide, None), (dict(mode='whole'), 64)):
        trained.cfg.model.test_cfg = test_cfg
        output = tmp_path / f'{test_cfg["mode"]}.tif'
        arguments = (scene, output, trained.cfg, trained.checkpoint)
        infer_scene(*arguments, tile=tile, probabilities=True, device='cpu', pace=QUIET)
        with rasterio.open(output) as file:
            found.append(file.read())
    assert (found[0] == found[1]).all()
    trained.cfg.model.test_cfg = slide
    output = tmp_path / 'larger.tif'
    with pytest.warns(match='windows of 100 are cut: there are seams .* none with windows of 64'):
        infer_scene(scene, output, trained.cfg, trained.checkpoint, tile=100, pace=QUIET)
