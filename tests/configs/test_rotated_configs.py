from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import HOOKS, METRICS, MODELS, TRANSFORMS, init_default_scope
from mmrotate.registry import DATASETS
from mmrotate.testing import demo_mm_inputs

from .training import once_per_model, shrink, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((CHECKOUT / 'configs/rotated_detection').glob('*.py'))
PARTS = ('backbone', 'neck', 'roi_extractor')
N_CLASSES = dict(nwpu=10, dota=15, dior=20, hrsc2016=1)

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path) -> Config:
    """Read the config, its model small and without weights from files."""
    cfg = Config.fromfile(path)
    for part in pretrained_parts(cfg.model):
        part.init_cfg = None
    shrink(cfg)
    return cfg


def pretrained_parts(model: dict) -> list[dict]:
    """Return the parts of a model that load weights from a file."""
    found = [model] if (model.get('init_cfg') or {}).get('type') == 'Pretrained' else []
    for value in model.values():
        if isinstance(value, dict):
            found += pretrained_parts(value)
    return found


def n_classes(path: Path) -> int:
    """Return the number of categories of the data in the config's name."""
    return N_CLASSES[path.stem.split('_')[-1].split('-')[0]]


def batch(classes: int) -> dict:
    """Return two made images with 2 rotated boxes and 1."""
    data = demo_mm_inputs(
        batch_size=2,
        image_shapes=[(3, 64, 64)] * 2,
        num_items=[2, 1],
        num_classes=80,
        use_box_type=True,
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels %= classes
    return data


@each_config
def test_config_trains_a_step(path):
    cfg = load(path)
    losses = training_step(cfg, batch(n_classes(path)))
    assert 0 < losses['loss'] < 60


@each_config
def test_config_predicts_and_augments_at_test_time(path):
    cfg = load(path)
    init_default_scope(cfg.default_scope)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[name].dataset
        for part in dataset.get('datasets', [dataset]):
            for transform in part.pipeline:
                TRANSFORMS.build(transform)
    for transform in cfg.tta_pipeline:
        TRANSFORMS.build(transform)
    data = batch(n_classes(path))
    results = predictions(cfg, data)
    assert len(results) == len(data['inputs'])
    for result in results:
        assert len(result.pred_instances) <= cfg.tta_model.tta_cfg.max_per_img
        assert result.pred_instances.bboxes.isfinite().all()


@once_per_model
def predictions(cfg: Config, sample: dict) -> list[DetDataSample]:
    """Predict on each image as it is and mirrored."""
    module = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    model = MODELS.build(dict(cfg.tta_model, module=module)).eval()
    model.module.init_weights()
    data = dict(inputs=[], data_samples=[])
    for direction in (None, 'horizontal', 'vertical'):
        samples = copy.deepcopy(sample['data_samples'])
        for image_sample in samples:
            image_sample.set_metainfo(
                dict(flip=direction is not None, flip_direction=direction, ori_shape=(64, 64))
            )
        data['inputs'].append(sample['inputs'])
        data['data_samples'].append(samples)
    return model.test_step(data)


@each_config
def test_config_evaluates_draws_and_checks_classes(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    assert METRICS.build(cfg.val_evaluator).format_only is False
    submits = METRICS.build(cfg.test_evaluator)
    assert (submits.format_only, submits.merge_patches) == (('_dota-' in path.name),) * 2
    assert cfg.default_hooks.checkpoint.save_best == 'dota/mAP'
    assert [hook.type for hook in cfg.custom_hooks] == ['mmdet.NumClassCheckHook']
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    assert cfg.default_hooks.visualization.draw
    heads = [cfg.model.get('bbox_head'), cfg.model.get('roi_head', {}).get('bbox_head')]
    assert [head.num_classes for head in heads if head] == [n_classes(path)]
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[name].dataset
        for part in dataset.get('datasets', [dataset]):
            # mmrotate's HRSCDataset lists the kinds of ships until it is told to take them as one
            if part.type != 'mmdynamicvis.HRSC2016Dataset':
                metainfo = DATASETS.get(part.type).METAINFO
                assert len(metainfo['classes']) == len(metainfo['palette']) == n_classes(path)


@each_config
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    _, model, settings, data = path.stem.split('_', 3)
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    assert cfg.train_cfg.max_epochs == int(settings.split('-')[1].removesuffix('e'))
    if model != 'resnet18':
        assert cfg.model.backbone.arch == model.split('-')[1]
    parts = pretrained_parts(cfg.model)
    small = 'tiny' in model or model == 'resnet18'
    assert bool(parts) == (not small and '-scratch' not in path.stem)
    expected = PARTS if 'roi_head' in cfg.model else PARTS[:2]
    if parts:
        assert [part.init_cfg.prefix for part in parts] == [f'{part}.' for part in expected]
    size = int(data.rsplit('-', 1)[1].removesuffix('px'))
    assert cfg.model.backbone.get('img_size', size) == size
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: ' in header
