"""Extraction and change together: labels of either are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from overfitting import train
from PIL import Image

from mmdynamicvis.registry import DATASETS

from .pairs import make_pair, write_pairs

CONFIG = (
    'configs/change_detection/siamese-buildings_dynamicvis-tiny_1xb8-50e-scratch_whu-levir-256px.py'
)
SIZE = (64, 64)
PIPELINE = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='mmdynamicvis.PackLabelMaps'),
]


def write_single(folder: Path, names: list[str]) -> None:
    """Write images and masks of buildings, .tif, as WHU has them: 1 bit, white is a building."""
    for part in ('image', 'label'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names, start=50):
        _, image, mask = make_pair(SIZE, seed)
        Image.fromarray(image).save(folder / f'image/{name}.tif')
        Image.fromarray(mask).save(folder / f'label/{name}.tif')


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ('train', 'val'):
        write_single(tmp_path / f'whu_building/{split}', ['0', '1'])
        write_pairs(tmp_path / f'levir_cd/{split}', ['a', 'b'], SIZE)
    return tmp_path


def build(root: Path, **options):
    init_default_scope('mmseg')
    settings = dict(type='mmdynamicvis.BuildingPairs', pipeline=PIPELINE)
    return DATASETS.build(dict(settings, data_root=str(root), **options))


def maps(sample) -> dict[str, np.ndarray]:
    names = ('change', 'buildings_from', 'buildings_to')
    return {name: sample['data_samples'].get(f'gt_{name}').data[0].numpy() for name in names}


def test_single_images_have_buildings_and_no_change(data):
    prefix = dict(img_path='image', buildings_from='label')
    options = dict(img_suffix='.tif', seg_map_suffix='.tif', data_prefix=prefix)
    dataset = build(data / 'whu_building/train', **options)
    assert len(dataset) == 2
    for seed, sample in enumerate(dataset, start=50):
        first, second = sample['inputs'].split(3)
        assert (first == second).all()
        found, (_, _, mask) = maps(sample), make_pair(SIZE, seed)
        assert (found['buildings_from'] == mask).all() and (found['buildings_to'] == mask).all()
        assert (found['change'] == 255).all()


def test_pairs_have_change_and_no_buildings(data):
    prefix = dict(img_path='A', img_path2='B', change='label')
    dataset = build(data / 'levir_cd/train', data_prefix=prefix)
    for seed, sample in enumerate(dataset):
        found, (before, after, mask) = maps(sample), make_pair(SIZE, seed)
        assert (found['change'] == mask).all()
        assert (found['buildings_from'] == 255).all() and (found['buildings_to'] == 255).all()
        for image, expected in zip(sample['inputs'].split(3), (before, after), strict=True):
            assert (image.flip(0).numpy() == expected.transpose(2, 0, 1)).all()


def test_what_single_images_cannot_have_is_an_error(data):
    for name in ('change', 'buildings_to'):
        with pytest.raises(ValueError, match=rf"data_prefix has \['{name}'\] and no img_path2"):
            build(data / 'levir_cd/train', data_prefix={'img_path': 'A', name: 'label'})
    with pytest.raises(ValueError, match=r"data_prefix has \['semantic_from'\]"):
        build(data / 'levir_cd/train', data_prefix=dict(img_path='A', semantic_from='label'))


def config(checkout: Path, data: Path, work_dir: Path) -> Config:
    cfg = Config.fromfile(checkout / CONFIG)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        for part in loader.dataset.datasets:
            part = part.get('dataset', part)
            part.data_root = str(data / Path(part.data_root).name)
    cfg.data_preprocessor.size = SIZE
    cfg.model.backbone.img_size = SIZE[0]
    cfg.model.test_cfg = dict(mode='whole')
    cfg.train_pipeline[2].crop_size = SIZE
    for part in cfg.train_dataloader.dataset.datasets:
        part.get('dataset', part).pipeline = cfg.train_pipeline
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.slow
def test_from_training_to_both_metrics(checkout, data, tmp_path):
    cfg = config(checkout, data, tmp_path / 'work')
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.datasets[1].times = 1
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.val()
    assert {'change/target/recall', 'buildings/target/recall'} <= metrics.keys()
    # 2 pairs and 2 images, and each counts in its own metric only
    assert 0 <= metrics['change/aAcc'] <= 100 and 0 <= metrics['buildings/aAcc'] <= 100


@pytest.mark.exhaustive
def test_it_learns_both_by_heart(checkout, data, tmp_path):
    cfg = config(checkout, data, tmp_path / 'work')
    dataset = cfg.train_dataloader.dataset
    levir = dataset.datasets[1].dataset
    dataset.datasets[1] = levir
    test = cfg.val_dataloader.dataset
    for part, of_test in zip(dataset.datasets, test.datasets, strict=True):
        part.pipeline = of_test.pipeline
        of_test.data_prefix = part.data_prefix
    cfg.train_dataloader.batch_size = 4
    runner = train(cfg, {}, {}, tmp_path / 'log', steps=150, lr=3e-3)
    metrics = runner.val()
    assert metrics['change/target/f1'] >= 95 and metrics['buildings/target/f1'] >= 95, metrics
