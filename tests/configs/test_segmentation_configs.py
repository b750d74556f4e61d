from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdynamicvis.engine.config import leaf_datasets

from .training import SMALL, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((CHECKOUT / 'configs/segmentation').glob('*.py'))
CONFIGS = [path for path in CONFIGS if 'multimodal-' not in path.name]
SIZE = 64

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path) -> Config:
    """Read the config, its model small and without weights from files."""
    cfg = Config.fromfile(path)
    model = cfg.model
    if model.backbone.type == 'mmdynamicvis.DynamicVis':
        model.backbone.update(arch=SMALL, img_size=SIZE, init_cfg=None)
        model.neck.in_channels = list(SMALL['embed_dims'])
    model.neck.out_channels = 16
    model.neck.pop('init_cfg', None)
    model.decode_head.update(in_channels=[16] * 4, channels=8)
    model.auxiliary_head.update(in_channels=16, channels=8)
    cfg.data_preprocessor.size = (SIZE, SIZE)
    return cfg


def batch(cfg: Config) -> dict:
    """Return two made images with labels, some of them ignored."""
    backbone = cfg.model.backbone
    channels = len(backbone.bands) if 'bands' in backbone else backbone.get('in_channels', 3)
    samples = []
    for i in range(2):
        labels = torch.randint(0, cfg.model.decode_head.num_classes, (1, SIZE, SIZE))
        labels[:, i] = 255
        size = dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE))
        samples.append(SegDataSample(metainfo=size, gt_sem_seg=PixelData(data=labels)))
    return dict(inputs=list(torch.rand(2, channels, SIZE, SIZE) * 255), data_samples=samples)


@each_config
def test_config_trains_a_step(path):
    cfg = load(path)
    losses = training_step(cfg, batch(cfg))
    assert 0 < losses['loss'] < 20
    assert ('decode.loss_dice' in losses) == path.name.startswith('upernet-dice')
    assert 'aux.loss_ce' in losses


@each_config
def test_config_is_complete(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    for split in ('train', 'val', 'test'):
        dataset = next(leaf_datasets(cfg[f'{split}_dataloader'].dataset))
        DATASETS.build(dict(dataset, lazy_init=True))
        assert dataset.data_root == cfg.data_root
        steps = [step.type for step in dataset.pipeline]
        # after mmseg's loader, a mask of another size would be cropped to the image's
        if 'LoadAnnotations' in steps:
            assert steps[steps.index('LoadAnnotations') + 1] == 'mmdynamicvis.CheckMask'
    for transform in cfg.tta_pipeline:
        TRANSFORMS.build(transform)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        METRICS.build(evaluator)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    assert cfg.tta_model.type == 'SegTTAModel'
    binary = cfg.model.decode_head.num_classes == 2
    assert [hook.type for hook in cfg.custom_hooks] == ['mmdynamicvis.ErrorMapHook'] * binary
    assert cfg.default_hooks.checkpoint.save_best == ('target/iou' if binary else 'mIoU')


@each_config
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    _, model, settings, data = path.stem.split('_', 3)
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    length = settings.split('-')[1]
    if length.endswith('i'):
        assert cfg.train_cfg.max_iters == int(length.removesuffix('i'))
        assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters
        assert not cfg.default_hooks.logger.log_metric_by_epoch
    else:
        assert cfg.train_cfg.max_epochs == int(length.removesuffix('e'))
    if model != 'resnet18':
        assert cfg.model.backbone.arch == model.split('-')[1]
    size = int(data.rsplit('-', 1)[1].removesuffix('px'))
    assert cfg.model.backbone.get('img_size', size) == size
    assert cfg.data_preprocessor.size == (size, size)
    assert cfg.model.test_cfg.crop_size == (size, size)
    assert all(0 < stride < size for stride in cfg.model.test_cfg.stride)
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: ' in header


@each_config
def test_config_starts_from_what_its_name_says(path):
    cfg = Config.fromfile(path)
    parts = [cfg.model.backbone.get('init_cfg'), cfg.model.neck.get('init_cfg')]
    if '-200e_' in path.name:
        assert [part.prefix for part in parts] == ['backbone.', 'neck.']
        arch = cfg.model.backbone.arch
        assert {part.checkpoint for part in parts} == {
            f'checkpoints/dynamicvis_{arch}_fmow.safetensors'
        }
        assert cfg.model.backbone.frozen_stages == 0
    else:
        assert parts == [None, None]


@each_config
def test_heads_have_the_classes_of_the_data(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, lazy_init=True))
    counts = {cfg.model.decode_head.num_classes, cfg.model.auxiliary_head.num_classes}
    assert counts == {len(dataset.metainfo['classes'])}


@pytest.mark.parametrize('arch', ['base', 'large', 'tiny'])
def test_channels_fit(arch):
    """Of the archs as they are, not made small."""
    name = dict(tiny='upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px.py').get(
        arch, f'upernet_dynamicvis-{arch}_1xb8-200e_whu-building-512px.py'
    )
    cfg = Config.fromfile(CHECKOUT / 'configs/segmentation' / name)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=None))
    widths = [conv.conv.in_channels for conv in model.neck.lateral_convs]
    assert widths == [stage.norm.weight.numel() for stage in model.backbone.stages]
