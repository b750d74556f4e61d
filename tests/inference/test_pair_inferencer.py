"""Inference on two image files: the maps are those that the model itself predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmdynamicvis.inference import PairInferencer, load_inferencer

from ..change_detection.models import let_half_change, small_model
from ..change_detection.test_semantic_scene import (
    CHANGE,
    COVER,
    NAMES,
    config,
    predict,
    random_model,
)

MAPS = dict(change=CHANGE, semantic_from=COVER, semantic_to=COVER)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[list[Path], list[np.ndarray]]:
    """Two files, and their pixels (3, H, W)."""
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 96, 128), np.uint8)
    paths = [tmp_path / f'{i}.png' for i in range(2)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return paths, list(images)


def test_several_maps(tmp_path: Path, pair: tuple) -> None:
    paths, images = pair
    model = random_model(tmp_path)
    inferencer = load_inferencer(config(tmp_path, MAPS), tmp_path / 'weights.pth', 'cpu')
    assert isinstance(inferencer, PairInferencer)
    sample = predict(model, *images)
    found = inferencer(*paths)
    assert [part.name for part, _ in found] == NAMES
    for part, labels in found:
        assert np.array_equal(labels, sample.get(f'pred_{part.name}').data[0].numpy())
        assert 0.2 < (labels > 0).mean() < 0.8
        assert len(part.classes) == len(part.palette) > labels.max()


def test_change_alone(tmp_path: Path, pair: tuple) -> None:
    paths, images = pair
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(small_model())
    let_half_change(model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    cfg = Config.fromfile(config(tmp_path, MAPS))
    cfg.model = small_model()
    cfg.test_dataloader.dataset = dict(
        type='mmdynamicvis.ChangeDataset',
        pipeline=[
            dict(type='mmdynamicvis.LoadPair'),
            dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
            dict(type='PackSegInputs'),
        ],
    )
    inferencer = load_inferencer(cfg, tmp_path / 'weights.pth', 'cpu')
    ((part, labels),) = inferencer(*paths)
    assert (part.name, tuple(part.classes)) == ('change', ('unchanged', 'changed'))
    expected = predict(model, *images).pred_sem_seg.data[0].numpy()
    assert np.array_equal(labels, expected)
    assert 0.2 < labels.mean() < 0.8
    Image.new('RGB', (128, 90)).save(paths[1])
    with pytest.raises(ValueError, match=r'1\.png \(90, 128, 3\).* must lie on one grid'):
        inferencer(*paths)
    with pytest.raises(OSError, match=r'none\.png'):
        inferencer(paths[0], tmp_path / 'none.png')
    cfg.test_dataloader.dataset.pipeline[0]['keys'] = ['a', 'b', 'c']
    with pytest.raises(ValueError, match='is of 3 dates; pairs have 2'):
        load_inferencer(cfg, tmp_path / 'weights.pth', 'cpu')
