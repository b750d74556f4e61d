"""Pictures of hits and errors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmdynamicvis.engine.hooks.error_map import ErrorMapHook, error_map

WHITE, BLACK, RED, GREEN, GRAY = (
    [255, 255, 255],
    [0, 0, 0],
    [255, 0, 0],
    [0, 255, 0],
    [128, 128, 128],
)


def sample(path, prediction, label=None):
    data = SegDataSample(metainfo=dict(img_path=str(path)))
    data.pred_sem_seg = PixelData(data=torch.tensor(prediction)[None])
    if label is not None:
        data.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    return data


def test_colors():
    picture = error_map(np.array([[1, 0, 1, 0, 1]]), np.array([[1, 0, 0, 1, 255]]))
    assert picture.tolist() == [[WHITE, BLACK, RED, GREEN, GRAY]]


def test_one_class_of_several():
    picture = error_map(np.array([[2, 1, 2, 0]]), np.array([[2, 0, 1, 2]]), target=2)
    assert picture.tolist() == [[WHITE, BLACK, RED, GREEN]]


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r'prediction \(1, 2\) and label \(2, 1\) differ'):
        error_map(np.zeros((1, 2)), np.zeros((2, 1)))


def test_hook_writes_a_picture_per_image(tmp_path):
    runner = SimpleNamespace(log_dir=str(tmp_path))
    hook = ErrorMapHook(out_dir='maps')
    hook.before_test(runner)
    batch = [
        sample('/data/a/1.tif', [[1, 0]], [[1, 1]]),
        sample('/data/b/1.tif', [[0, 0]], [[0, 0]]),
        sample('/data/c/2.tif', [[0, 0]]),
        sample('3.tif', [[0, 0]], [[0, 0]]),
    ]
    batch[-1].set_metainfo(dict(img_path=['/data/A/3.tif', '/data/B/3.tif']))
    hook.after_test_iter(runner, 0, outputs=batch)
    files = sorted(path.name for path in (tmp_path / 'maps').iterdir())
    assert files == ['1.png', '3.png', 'b_1.png']
    assert np.array(Image.open(tmp_path / 'maps/1.png')).tolist() == [[WHITE, GREEN]]
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, outputs=batch[1:2])
    assert np.array(Image.open(tmp_path / 'maps/1.png')).tolist() == [[BLACK, BLACK]]


def test_hook_shows_one_of_several_maps(tmp_path):
    data = sample('x.png', [[9, 9]], [[9, 9]])
    data.set_data(
        {
            'pred_change': PixelData(data=torch.tensor([[[1, 0]]])),
            'gt_change': PixelData(data=torch.tensor([[[1, 1]]])),
        }
    )
    hook = ErrorMapHook(output='change')
    hook.after_test_iter(SimpleNamespace(log_dir=str(tmp_path)), 0, outputs=[data])
    found = np.array(Image.open(tmp_path / 'error_maps/x.png')).tolist()
    assert found == [[WHITE, GREEN]]
