from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope
from mmpretrain.structures import DataSample

from .training import shrink, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
CLASSIFICATION = sorted((CHECKOUT / 'configs/classification').glob('*.py'))


def test_basenames_are_unique_in_the_repository():
    names = [
        path.name
        for path in CHECKOUT.rglob('*.py')
        if 'work_dirs' not in path.parts and path.is_relative_to(CHECKOUT / 'configs')
    ]
    assert names
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize('path', CLASSIFICATION, ids=lambda path: path.stem)
def test_classification_config_trains_a_step(path):
    cfg = Config.fromfile(path)
    shrink(cfg)
    n_classes = cfg.model.head.num_classes
    assert cfg.data_preprocessor.num_classes == n_classes
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i % n_classes) for i in range(4)]
    losses = training_step(cfg, dict(inputs=images, data_samples=samples))
    assert 0 < losses['loss'] < 20


@pytest.mark.parametrize('path', CLASSIFICATION, ids=lambda path: path.stem)
def test_classification_config_is_complete(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for transform in cfg[loader].dataset.pipeline:
            TRANSFORMS.build(transform)
    for transform in cfg.tta_pipeline:
        TRANSFORMS.build(transform)
    assert cfg.tta_model.type == 'mmpretrain.AverageClsScoreTTA'
    items = cfg.val_evaluator[1]['items']
    assert set(items) == {'precision', 'recall', 'f1-score'}
    header = path.read_text().split('\n_base_')[0]
    assert 'mim train mmdynamicvis' in header
    assert path.name in header


def test_model_index_names_existing_configs():
    index = yaml.safe_load((CHECKOUT / 'model-index.yml').read_text())
    for metafile in index['Import']:
        content = yaml.safe_load((CHECKOUT / metafile).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        for model in content['Models']:
            assert model['In Collection'] in collections
            assert (CHECKOUT / model['Config']).is_file(), model['Config']
            assert Path(model['Config']).stem == model['Name']
