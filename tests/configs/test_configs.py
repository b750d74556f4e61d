from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import HOOKS, METRICS, TRANSFORMS, init_default_scope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from mmdynamicvis.pretraining.fmow import FMOW_CLASSES

from .training import shrink, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
CLASSIFICATION = sorted((CHECKOUT / 'configs/classification').glob('*.py'))
PRETRAINING = sorted((CHECKOUT / 'configs/pretraining').glob('*.py'))


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


@pytest.mark.parametrize('path', PRETRAINING, ids=lambda path: path.stem)
def test_pretraining_config_trains_a_step(path):
    cfg = Config.fromfile(path)
    shrink(cfg)
    n_classes = len(cfg.classes)
    samples = []
    for i in range(4):
        sample = DetDataSample(metainfo=dict(img_shape=(64, 64)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 40, 50], [20, 4, 60, 30]])[: i % 3],
            labels=torch.tensor([i, n_classes - 1])[: i % 3],
        )
        samples.append(sample)
    images = list(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    losses = training_step(cfg, dict(inputs=images, data_samples=samples))
    assert ('loss_mil' in losses) == path.name.startswith('mil_')
    assert 0 < losses['loss'] < 20
    selects = cfg.model.backbone.reduction_ratios is not None
    assert selects == ('-dense' not in path.name)
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert ('mmdynamicvis.SelectionStatisticsHook' in hooks) == selects


@pytest.mark.parametrize('path', PRETRAINING, ids=lambda path: path.stem)
def test_pretraining_config_is_complete(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert cfg[loader].dataset.metainfo.classes == cfg.model.head.classes
        for transform in cfg[loader].dataset.pipeline:
            TRANSFORMS.build(transform)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    for metric in cfg.test_evaluator:
        METRICS.build(metric)
    if 'fmow' in path.name:
        assert tuple(cfg.classes) == FMOW_CLASSES
        gpus, batch_size = path.name.split('_')[2].split('-')[0].split('xb')
        assert cfg.train_dataloader.batch_size == int(batch_size)
        assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
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
