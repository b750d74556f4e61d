"""UPerNet learns real images by heart: roads of two data sets, and buildings."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from overfitting import overfit

from .windows import N_WINDOWS, SIZE, write_windows

pytestmark = [pytest.mark.slow, pytest.mark.shared_data]

CONFIG = 'upernet_dynamicvis-tiny_1xb8-300i_cil-roads-256px.py'


def pairs(folder, images, masks):
    """Return the paths of images and masks, which sort alike."""
    return list(zip(sorted(folder.glob(images)), sorted(folder.glob(masks)), strict=True))


@pytest.mark.parametrize(
    ('name', 'images', 'masks', 'threshold'),
    [
        ('cil_roads', 'images/*.png', 'groundtruth/*.png', 127),
        ('massachusetts_roads', 'images/*.jpg', 'masks/*.png', None),
        ('whu_building', '*/image/*.tif', '*/label/*.tif', None),
    ],
)
def test_it_learns_four_windows(shared_data, checkout, tmp_path, name, images, masks, threshold):
    """Enlarged twice, as in the published recipe; tested by sliding windows."""
    write_windows(pairs(shared_data / name, images, masks), tmp_path)
    cfg = Config.fromfile(checkout / 'configs/segmentation' / CONFIG)
    cfg.model.backbone.img_size = SIZE
    cfg.model.test_cfg.update(crop_size=(SIZE, SIZE), stride=(SIZE // 2, SIZE // 2))
    cfg.data_preprocessor.size = (SIZE, SIZE)
    cfg.train_dataloader.batch_size = N_WINDOWS
    load = dict(type='mmdynamicvis.LoadIntactImage')
    annotations = dict(type='mmdynamicvis.LoadAnnotationsToBinary', threshold=threshold)
    enlarge = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    crop = dict(type='RandomCrop', crop_size=(SIZE, SIZE))
    flip = dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
    pack = dict(type='PackSegInputs')
    cfg.train_dataloader.dataset.pipeline = [load, annotations, enlarge, crop, flip, pack]
    cfg.val_dataloader.dataset.pipeline = [load, enlarge, annotations, pack]
    dataset = dict(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        seg_map_suffix='.tif',
        indices=N_WINDOWS,
    )
    metrics = overfit(cfg, dataset, {}, tmp_path / 'log', steps=300, lr=3e-3)
    assert metrics['target/f1'] >= 95
