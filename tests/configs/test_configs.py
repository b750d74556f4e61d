from __future__ import annotations

import argparse
import ast
import re
import runpy
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.structures import DetDataSample
from mmengine.config import Config, DictAction
from mmengine.registry import HOOKS, METRICS, TRANSFORMS, init_default_scope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from mmdynamicvis.pretraining.fmow import FMOW_CLASSES
from mmdynamicvis.pretraining.meta_embeddings import save_meta_embeddings

from .training import shrink, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
BASE = CHECKOUT / 'configs/_base_'
CONFIGS = sorted(p for p in CHECKOUT.glob('configs/*/*.py') if p.parent != BASE)
PAGES = [CHECKOUT / 'README.md', *sorted(CHECKOUT.glob('docs/*.md'))]
PAGES += sorted(CHECKOUT.glob('configs/*/README.md'))
CLASSIFICATION = sorted((CHECKOUT / 'configs/classification').glob('*.py'))
CLASSIFICATION = [path for path in CLASSIFICATION if 'multimodal-' not in path.name]
PRETRAINING = sorted((CHECKOUT / 'configs/pretraining').glob('*.py'))
PRETRAINING = [path for path in PRETRAINING if 'multimodal-' not in path.name]


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
    *prepare, _ = cfg.test_dataloader.dataset.pipeline
    assert cfg.tta_pipeline[:-1] == prepare  # images of the same size, loaded in the same way
    assert cfg.tta_model.type == 'mmpretrain.AverageClsScoreTTA'
    items = cfg.val_evaluator[1]['items']
    assert set(items) == {'precision', 'recall', 'f1-score'}
    header = path.read_text().split('\n_base_')[0]
    assert 'mim train mmdynamicvis' in header
    assert path.name in header


@pytest.mark.parametrize('path', PRETRAINING, ids=lambda path: path.stem)
@pytest.mark.parametrize('selects', [True, False])
def test_pretraining_config_trains_a_step(path, selects, tmp_path):
    cfg = Config.fromfile(path)
    shrink(cfg)
    if path.name.startswith('text_'):
        file = tmp_path / 'text.safetensors'
        save_meta_embeddings(file, torch.randn(len(cfg.classes), 24), cfg.classes, 'a text model')
        cfg.model.head.text_embeddings = str(file)
    if not selects:
        cfg.model.backbone.reduction_ratios = None
        cfg.model.selection_weight = 0.0
    seen = [i for i, name in enumerate(cfg.classes) if name not in cfg.get('held_out', ())]
    samples = []
    for i in range(4):
        sample = DetDataSample(metainfo=dict(img_shape=(64, 64)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 40, 50], [20, 4, 60, 30]])[: i % 3],
            labels=torch.tensor([seen[i], seen[-1]])[: i % 3],
        )
        samples.append(sample)
    images = list(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    losses = training_step(cfg, dict(inputs=images, data_samples=samples))
    assert ('loss_mil' in losses) == path.name.startswith('mil_')
    assert ('loss_text' in losses) == path.name.startswith('text_')
    assert 0 < losses['loss'] < 20


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
    if 'heldout' in path.name:
        held_out = set(cfg.held_out)
        assert held_out < set(cfg.classes)
        assert held_out == set(cfg.model.head.held_out)
        assert held_out == set(cfg.train_dataloader.dataset.held_out)
        assert all(set(metric.held_out) == held_out for metric in cfg.test_evaluator)
        assert 'held_out' not in cfg.test_dataloader.dataset
        assert cfg.default_hooks.checkpoint.save_best is None
    if 'fmow' in path.name:
        assert tuple(cfg.classes) == FMOW_CLASSES
        gpus, batch_size = path.name.split('_')[2].split('-')[0].split('xb')
        assert cfg.train_dataloader.batch_size == int(batch_size)
        assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    header = path.read_text().split('\n_base_')[0]
    assert 'mim train mmdynamicvis' in header
    assert path.name in header


def test_metafiles_are_those_of_the_table():
    """And name each config once: after an edit, python tools/dev/metafiles.py."""
    tool = runpy.run_path(str(CHECKOUT / 'tools/dev/metafiles.py'))
    index = yaml.safe_load((CHECKOUT / 'model-index.yml').read_text())
    assert index['Import'] == sorted(f'configs/{folder}/metafile.yml' for folder in tool['MODELS'])
    assert len({collection for _, collection, _ in tool['TASKS'].values()}) == len(tool['TASKS'])
    assert (CHECKOUT / 'docs/model_zoo.md').read_text() == tool['model_zoo']()
    for folder, models in tool['MODELS'].items():
        text = (CHECKOUT / f'configs/{folder}/metafile.yml').read_text()
        assert text == tool['metafile'](folder)
        assert sorted(models) == sorted(path.stem for path in CONFIGS if path.parent.name == folder)
        content = yaml.safe_load(text)
        (collection,) = content['Collections']
        assert (CHECKOUT / collection['README']).is_file()
        for model in content['Models']:
            assert model['In Collection'] == collection['Name']
            assert (CHECKOUT / model['Config']).stem == model['Name']
            assert (CHECKOUT / model['Config']).is_file()


def bases(path: Path) -> list[Path]:
    """Return the files that a config inherits from directly."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            return [(path.parent / base).resolve() for base in ast.literal_eval(node.value)]
    return []


def test_inheritance_is_shallow():
    """A config inherits from files of _base_, of which none is two steps further from a root."""
    used = set()
    for path in CONFIGS:
        direct = bases(path)
        indirect = [base for one in direct for base in bases(one)]
        assert BASE / 'default_runtime.py' in direct
        assert all(BASE in base.parents for base in direct + indirect)
        assert not any(bases(base) for base in indirect), path
        used.update(direct, indirect)
    assert used == set(BASE.rglob('*.py'))


def test_weights_to_start_from_have_one_kind_of_name():
    named = {
        name
        for path in (CHECKOUT / 'configs').rglob('*.py')
        for name in re.findall(r"'(checkpoints/[^']*)'", path.read_text())
    }
    starts = [('base', 'fmow'), ('large', 'fmow'), ('tiny', 'nwpu')]
    assert named == {f'checkpoints/dynamicvis_{arch}_{data}.safetensors' for arch, data in starts}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_pages_name_configs_that_are_there(page):
    # not what follows ... or *, which stand for a part of several names
    names = set(re.findall(r'(?<![^\s`/(])[a-z][a-z0-9_-]*px(?=\.py)', page.read_text()))
    of_datasets = {path.stem for path in (BASE / 'datasets').glob('*.py')}
    assert names <= of_datasets | {path.stem for path in CONFIGS}


def commands(page: Path) -> list[tuple[Path, dict]]:
    """Return config and options of each `mim train` with options in a page."""
    text = page.read_text().replace('\\\n', ' ')
    pattern = r'^mim train mmdynamicvis ([a-z][\w-]*px)\.py +--cfg-options (.*?)(?:  #.*)?$'
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return [
        (
            next(path for path in CONFIGS if path.stem == name),
            parser.parse_args(['--cfg-options', *shlex.split(options)]).cfg_options,
        )
        for name, options in re.findall(pattern, text, flags=re.MULTILINE)
    ]


def pretrained_parts(model: dict) -> list[dict]:
    """Return the parts of a model that load weights from a file."""
    own = (model.get('init_cfg') or {}).get('type') == 'Pretrained'
    inside = [value for value in model.values() if isinstance(value, dict)]
    return [model] * own + [part for value in inside for part in pretrained_parts(value)]


FINE_TUNED = [
    'change_detection',
    'detection',
    'instance_segmentation',
    'rotated_detection',
    'segmentation',
]


@pytest.mark.parametrize('task', FINE_TUNED)
def test_the_line_for_training_from_scratch_leaves_no_pretraining(task):
    readme = CHECKOUT / f'configs/{task}/README.md'
    lines = [
        (path, options)
        for path, options in commands(readme)
        if options.get('model.backbone.init_cfg', '') is None
    ]
    assert lines
    for path, options in lines:
        cfg = Config.fromfile(path)
        assert pretrained_parts(cfg.model)
        cfg.merge_from_dict(options)
        assert pretrained_parts(cfg.model) == []
        assert cfg.model.backbone.get('frozen_stages', -1) == -1
