"""One interface to predictions of all tasks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmdynamicvis.page.models import SIDE, PageModel

from ..change_detection.test_semantic_scene import CHANGE, COVER, config, random_model
from ..inference.test_inferencers import CLASSES, MASKS, ROADS, ROTATED, SCENES, small

WIDTH, HEIGHT = 160, 128


@pytest.fixture
def image() -> NDArray[np.uint8]:
    """Reddish squares."""
    coarse = np.random.default_rng(0).integers(0, 255, (16, 20, 3))
    pixels = np.kron(coarse // [1, 4, 8], np.ones((8, 8, 1)))
    return pixels.astype(np.uint8)


def make(name: str, folder: Path, classes: tuple[str, ...]) -> PageModel:
    """Return a small model with random weights; detectors are sure of the first class."""
    cfg, checkpoint = small(name, folder, classes)
    content = torch.load(checkpoint)
    for key, tensor in content['state_dict'].items():
        if key.endswith('fc_cls.bias'):
            tensor[0] = 20
    torch.save(content, checkpoint)
    config = folder / f'{name}.py'
    cfg.dump(config)
    return PageModel(config, checkpoint, 'cpu')


def check_stages(stages: list[NDArray], image: NDArray) -> None:
    """The image with its colors, then what three stages selected."""
    assert len(stages) == 4
    assert len({stage.shape for stage in stages}) == 1
    assert stages[0].shape[1] <= SIDE
    # not the line of text below
    shown = stages[0][: SIDE // 2].reshape(-1, 3).mean(0)
    assert shown.argmax() == image.reshape(-1, 3).mean(0).argmax() == 0
    for one, other in pairwise(stages):
        assert (one != other).mean() > 0.05


def test_classes_of_scenes(image: NDArray, tmp_path: Path) -> None:
    model = make(SCENES, tmp_path, tuple(f'class {i}' for i in range(30)))
    assert model.name == f'classification: {SCENES}, random.pth'
    view = model(image)
    assert view.predictions.shape[:2] == (round(SIDE * HEIGHT / WIDTH), SIDE)
    assert view.table.headers == ['class', 'score']
    assert len(view.table.rows) == 5
    scores = [float(row[1].removesuffix('%')) for row in view.table.rows]
    assert scores == sorted(scores, reverse=True)
    assert all(row[0].startswith('class ') for row in view.table.rows)
    check_stages(view.stages, image)


@pytest.mark.parametrize(
    ('config', 'task'), [(MASKS, 'instance masks'), (ROTATED, 'rotated boxes')]
)
def test_objects(config: str, task: str, image: NDArray, tmp_path: Path) -> None:
    model = make(config, tmp_path, CLASSES)
    assert model.name.startswith(f'{task}: ')
    view = model(image)
    ((name, score, count),) = view.table.rows
    assert (name, score) == ('airplane', '100.0%')
    assert 1 <= int(count) <= 7
    assert view.predictions.shape[:2] == (round(SIDE * HEIGHT / WIDTH), SIDE)
    check_stages(view.stages, image)


def test_classes_of_pixels(image: NDArray, tmp_path: Path) -> None:
    model = make(ROADS, tmp_path, ('background', 'building'))
    assert model.name.startswith('segmentation: ')
    view = model(image)
    shares = [float(share.removesuffix('%')) for _, share in view.table.rows]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    check_stages(view.stages, image)


def make_pairs(folder: Path) -> PageModel:
    """Return a model of change and the land cover of both dates, which finds change in half."""
    path = config(folder, dict(change=CHANGE, semantic_from=COVER, semantic_to=COVER))
    random_model(folder)
    return PageModel(path, folder / 'weights.pth', 'cpu')


def test_several_maps_of_a_pair(image: NDArray, tmp_path: Path) -> None:
    model = make_pairs(tmp_path)
    assert model.name.startswith('change detection: ')
    view = model(image, np.ascontiguousarray(image[::-1]))
    assert view.table.headers == ['map', 'class', 'share of pixels']
    shares = dict.fromkeys(('change', 'semantic_from', 'semantic_to'), 0.0)
    for name, _, share in view.table.rows:
        shares[name] += float(share.removesuffix('%'))
    assert list(shares.values()) == pytest.approx([100] * 3, abs=0.3)
    assert view.predictions.shape[1] == SIDE
    check_stages(view.stages, image)
    with pytest.raises(ValueError, match='takes 2 images, and got 1'):
        model(image)
    with pytest.raises(ValueError, match=r'image0\.png has the shape \(128, 160, 3\)'):
        model(image, image[:64])


def test_what_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        PageModel(SCENES, tmp_path / 'none.pth')
    checkpoint = tmp_path / 'some.pth'
    checkpoint.touch()
    bands = 'upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px'
    with pytest.raises(ValueError, match='begins with LoadGeoTIFF; inferencers support'):
        PageModel(bands, checkpoint)
