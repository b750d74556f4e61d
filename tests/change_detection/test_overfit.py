"""The siamese model learns four real pairs by heart: loading, masks, flips, loss and metric fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from mmengine.config import Config
from overfitting import overfit
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.shared_data]

CONFIG = 'configs/change_detection/siamese_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py'
MASKS = (
    'configs/change_detection/siamese-mask2former_dynamicvis-tiny_1xb4-300i_levir-sztaki-128px.py'
)
TILE = 64
"""Pixels of a pair's side; enlarged twice, as in the published recipe "2x"."""
# almost half of each has changed
LEVIR_CORNERS = {
    'train_36_0512_0512': (192, 192),
    'test_77_0512_0256': (160, 192),
    'test_2_0000_0000': (192, 32),
    'val_27_0000_0256': (96, 192),
}
"""Name of a pair -> left and upper edge of its tile."""
OSCD_TILES = (
    'hongkong_0448_0384',
    'hongkong_0384_0000',
    'hongkong_0448_0256',
    'hongkong_0384_0256',
)


def learn(
    tiles: Path, names: Sequence[str], checkout: Path, config: str = CONFIG, steps: int = 200
) -> float:
    """Return the F1 of the changed pixels, in percent, of the pairs trained on."""
    cfg = Config.fromfile(checkout / config)
    size = (2 * TILE, 2 * TILE)
    cfg.model.backbone.img_size = size
    cfg.model.test_cfg = dict(mode='whole')
    cfg.data_preprocessor.size = size
    pair = dict(type='mmdynamicvis.LoadPair')
    mask = dict(type='mmdynamicvis.LoadAnnotationsToBinary')
    enlarge = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
    pack = dict(type='PackSegInputs')
    dataset = dict(type='mmdynamicvis.ChangeDataset')
    train = dict(dataset, pipeline=[pair, mask, enlarge, flip, pack])
    cfg.train_dataloader.dataset = train
    cfg.val_dataloader.dataset = dict(dataset, test_mode=True, pipeline=[pair, enlarge, mask, pack])
    (tiles / 'few.txt').write_text('\n'.join(names))
    prefix = dict(img_path='A', img_path2='B', seg_map_path='label')
    source = dict(data_root=str(tiles), data_prefix=prefix, ann_file='few.txt')
    metrics = overfit(cfg, source, {}, tiles / 'log', steps=steps, lr=1e-3)
    return metrics['target/f1']


@pytest.mark.parametrize(
    ('config', 'steps'), [(CONFIG, 200), (MASKS, 400)], ids=['pixels', 'masks']
)
def test_levir_cd(shared_data, checkout, tmp_path, config, steps):
    for part in ('A', 'B', 'label'):
        (tmp_path / part).mkdir()
        for name, (left, top) in LEVIR_CORNERS.items():
            image = Image.open(shared_data / f'levir_cd/{part}/{name}.png')
            tile = image.crop((left, top, left + TILE, top + TILE))
            tile.save(tmp_path / f'{part}/{name}.png')
    assert learn(tmp_path, list(LEVIR_CORNERS), checkout, config, steps) >= 95


def test_oscd(shared_data, checkout, tmp_path):
    """From the publishers' layout, through the tool: what it writes is what the config reads."""
    pytest.importorskip('rasterio')
    tiles = tmp_path / 'tiles'
    tool = checkout / 'tools/prepare_data/oscd.py'
    command = [sys.executable, tool, shared_data / 'oscd', tiles]
    command += ['--size', TILE, '--stride', TILE]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    assert learn(tiles, OSCD_TILES, checkout) >= 95
