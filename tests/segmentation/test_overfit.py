"""UPerNet learns real images by heart: roads of two datasets, and buildings."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from overfitting import overfit

from .windows import N_WINDOWS, SIZE, write_windows

pytestmark = [pytest.mark.exhaustive, pytest.mark.shared_data]

CONFIG = 'upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px.py'
INPUT = 2 * SIZE


@pytest.mark.parametrize(
    ('name', 'images', 'masks', 'threshold'),
    [
        ('cil_roads', 'images/*.png', 'groundtruth/*.png', 127),
        ('massachusetts_roads', 'images/*.jpg', 'masks/*.png', None),
        ('whu_building', '*/image/*.tif', '*/label/*.tif', None),
    ],
)
def test_it_learns_four_windows(shared_data, checkout, tmp_path, name, images, masks, threshold):
    """Enlarged twice, as in the published recipe, and flipped."""
    source = shared_data / name
    pairs = zip(sorted(source.glob(images)), sorted(source.glob(masks)), strict=True)
    write_windows(list(pairs), tmp_path)
    cfg = Config.fromfile(checkout / 'configs/segmentation' / CONFIG)
    cfg.model.backbone.img_size = INPUT
    cfg.model.test_cfg = dict(mode='whole')
    cfg.data_preprocessor.size = (INPUT, INPUT)
    cfg.train_dataloader.batch_size = N_WINDOWS
    load = dict(type='mmdynamicvis.LoadIntactImage')
    annotations = dict(type='mmdynamicvis.LoadAnnotationsToBinary', threshold=threshold)
    enlarge = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
    pack = dict(type='PackSegInputs')
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.dataset  # unseeded
    cfg.train_dataloader.dataset.pipeline = [load, annotations, enlarge, flip, pack]
    cfg.val_dataloader.dataset.pipeline = [load, enlarge, annotations, pack]
    dataset = dict(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        seg_map_suffix='.tif',
        indices=N_WINDOWS,
    )
    metrics = overfit(cfg, dataset, {}, tmp_path / 'log', steps=200, lr=1e-3)
    assert metrics['target/f1'] >= 95
