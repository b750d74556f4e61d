"""Images of 4 and 13 bands from GeoTIFFs, from training to prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from mmdynamicvis.segmentation import BandsDataPreprocessor

from .makers import SIZE, square, write_bands
from .small_model import load

EXAMPLES = [('naip', 512, 4, 'uint8'), ('sentinel2', 256, 13, 'uint16')]


@pytest.mark.parametrize(('name', 'size', 'bands', 'dtype'), EXAMPLES)
def test_from_training_to_prediction(tmp_path, checkout, name, size, bands, dtype):
    write_bands(tmp_path / 'data', bands, dtype)
    config = f'upernet_dynamicvis-base_1xb8-200e-scratch_{name}-{size}px.py'
    path = checkout / 'configs/segmentation' / config
    cfg = load(path, tmp_path / 'data', tmp_path / 'work')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    for batch in runner.train_dataloader:
        # the 4 rows without data are the first or, flipped, the last; a crop may lack some
        for sample, image in zip(batch['data_samples'], batch['inputs'], strict=True):
            assert image.shape == (bands, 64, 64)
            assert set(sample.gt_sem_seg.data.unique().tolist()) <= {0, 1, 255}
    metrics = runner.test()
    assert 0 <= metrics['target/recall'] <= 100
    assert len(list(Path(runner.log_dir).glob('**/vis_image/test_*.png'))) == 2
    pictures = sorted(Path(runner.log_dir).glob('error_maps/*.png'))
    assert [picture.name for picture in pictures] == ['0.png', '1.png']
    for i, picture in enumerate(pictures):
        pixels = np.array(Image.open(picture))
        assert pixels.shape == (SIZE, SIZE, 3)
        # white and green are the target, gray has no data
        assert (pixels[:4] == 128).all()
        assert ((pixels[4:, :, 1] == 255) == square(i)[4:]).all()


def preprocess(images, **options):
    mean, std = [10.0, 20, 30, 40], [1.0, 2, 3, 4]
    return BandsDataPreprocessor(mean, std, **options)(dict(inputs=images))['inputs']


def test_bands_have_statistics_of_their_own():
    image = torch.tensor([12, 24, 36, 48], dtype=torch.uint8).view(4, 1, 1).expand(4, 2, 3)
    result = preprocess([image])
    assert result.shape == (1, 4, 2, 3)
    assert (result == 2).all()
    assert BandsDataPreprocessor([1.0], [1.0]).state_dict() == {}


def test_dates_have_the_same_statistics():
    """Of R, G, B, though files are loaded as B, G, R."""
    first, second = [1.0, 2, 3], [4.0, 5, 6]
    preprocessor = BandsDataPreprocessor([3.0, 2, 1], [1.0] * 3, bgr_to_rgb=True, num_dates=2)
    stack = torch.tensor([*first, *second]).view(6, 1, 1).expand(6, 2, 3)
    result = preprocessor(dict(inputs=[stack]))['inputs']
    assert result[0, :, 0, 0].tolist() == [0, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(('bands', 'num_dates'), [(3, 1), (4, 2), (12, 2)])
def test_wrong_number_of_bands(bands, num_dates):
    message = f'an input has {bands} bands, mean and std are of 4, and num_dates is {num_dates}'
    with pytest.raises(ValueError, match=message):
        preprocess([torch.zeros(bands, 2, 2)], num_dates=num_dates)


@pytest.mark.parametrize(('mean', 'std'), [([1.0, 2.0], [1.0]), ([1.0], [0.0])])
def test_wrong_statistics(mean, std):
    with pytest.raises(ValueError, match='must have one number per band, std > 0'):
        BandsDataPreprocessor(mean, std)
