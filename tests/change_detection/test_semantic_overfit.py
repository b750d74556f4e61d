"""The model of semantic change learns four real pairs by heart: labels, flips, losses, metric fit.

LEVIR-CD tells where buildings appeared. Where they did, there was ground before; two of the pairs
are turned around in time, so that buildings vanish.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from overfitting import overfit
from PIL import Image

from mmdynamicvis.change_detection import SECOND

from .test_overfit import LEVIR_CORNERS, TILE

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.shared_data]

CONFIG = (
    'configs/change_detection/semantic-siamese_dynamicvis-tiny_1xb8-200e-scratch_second-512px.py'
)
COVER = SECOND.METAINFO['maps']['semantic_to']
GROUND, BUILDING = (COVER['classes'].index(name) for name in ('ground', 'building'))


def write_as_second(levir: Path, folder: Path) -> None:
    """Write tiles of LEVIR-CD in the layout and the colors of SECOND."""
    palette = np.array(COVER['palette'], np.uint8)
    for part in ('im1', 'im2', 'label1', 'label2'):
        (folder / part).mkdir(parents=True)
    for number, (name, (left, top)) in enumerate(LEVIR_CORNERS.items()):
        tiles = {}
        for part in ('A', 'B', 'label'):
            image = Image.open(levir / f'{part}/{name}.png')
            tiles[part] = np.array(image.crop((left, top, left + TILE, top + TILE)))
        changed = tiles['label'] > 0
        dates = [(tiles['A'], GROUND), (tiles['B'], BUILDING)]
        for date, (image, cover) in enumerate(dates if number % 2 else dates[::-1], 1):
            Image.fromarray(image).save(folder / f'im{date}/{name}.png')
            label = palette[np.where(changed, cover, 0)]
            Image.fromarray(label).save(folder / f'label{date}/{name}.png')


def test_buildings_that_appear_and_vanish(shared_data, checkout, tmp_path):
    write_as_second(shared_data / 'levir_cd', tmp_path / 'train')
    cfg = Config.fromfile(checkout / CONFIG)
    cfg.model.backbone.img_size = (2 * TILE, 2 * TILE)
    cfg.train_dataloader.batch_size = 4
    pair, labels = dict(type='mmdynamicvis.LoadPair'), dict(type='mmdynamicvis.LoadPairLabels')
    enlarge = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
    pack = dict(type='mmdynamicvis.PackLabelMaps')
    cfg.train_dataloader.dataset.pipeline = [pair, labels, enlarge, flip, pack]
    cfg.val_dataloader.dataset.pipeline = [pair, enlarge, labels, pack]
    prefix = cfg.train_dataloader.dataset.data_prefix
    source = dict(data_root=str(tmp_path), data_prefix=prefix)
    metrics = overfit(cfg, source, {}, tmp_path / 'log', steps=240, lr=1e-3)
    assert metrics['semantic/SeK'] >= 95
    assert metrics['semantic/Fscd'] >= 95
    assert metrics['semantic/mIoU'] >= 95
