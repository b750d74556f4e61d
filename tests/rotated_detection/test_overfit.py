"""Each rotated head learns eight real images by heart: boxes, angles, scales and flips fit."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from overfitting import overfit

from .few_images import N_IMAGES, dataset_of, resize, write_subset

pytestmark = [pytest.mark.exhaustive, pytest.mark.shared_data]


@pytest.mark.parametrize(
    ('head', 'steps'), [('oriented-rcnn', 600), ('rotated-fcos', 400), ('rotated-retinanet', 400)]
)
def test_a_head_learns_eight_images(head, steps, shared_data, checkout, tmp_path):
    source = shared_data / 'nwpu_vhr10'
    name = f'{head}_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py'
    cfg = Config.fromfile(checkout / 'configs/rotated_detection' / name)
    resize(cfg, 160)
    labels = write_subset(source, tmp_path / 'labels')
    assert len(list(labels.iterdir())) == N_IMAGES
    metrics = overfit(cfg, dataset_of(source, labels), {}, tmp_path, steps=steps, lr=1e-3)
    assert metrics['dota/AP50'] >= 0.9
