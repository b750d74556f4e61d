from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, METRICS, MODELS, TRANSFORMS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdynamicvis.registry import DATASETS

from .training import SMALL, once_per_model, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
EVERY = sorted((CHECKOUT / 'configs/change_detection').glob('*.py'))
SEMANTIC = [path for path in EVERY if path.stem.startswith('semantic-')]
OPENCD = [path for path in EVERY if path.stem.startswith(('opencd-', 'fc-siam'))]
# several maps, or several modalities, with tests of their own
OTHERS = ('siamese-buildings', 'siamese-damage', 'siamese_multimodal', 'semantic-')
CONFIGS = [path for path in EVERY if path not in OPENCD and not path.stem.startswith(OTHERS)]

LAYERS = ['', 'd0.', 'd1.', 'd2.']
"""Prefixes of the losses of the layers of the mask decoder: the last, the input, and the others."""

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path) -> Config:
    """Read the config, its model small and without weights from files."""
    cfg = Config.fromfile(path)
    model = cfg.model
    channels = [64, 128, 256, 512]
    if model.backbone.type == 'mmdynamicvis.DynamicVis':
        model.backbone.update(arch=SMALL, img_size=64, init_cfg=None)
        channels = list(SMALL['embed_dims'])
    if is_mask_based(cfg):  # already small
        model.neck.fpn.update(in_channels=channels)
    else:
        model.neck.fpn.update(in_channels=channels, out_channels=8, init_cfg=None)
        model.neck.fusion.channels = 8
        model.neck.decoder.in_channels = [8] * 5
        model.decode_head.update(in_channels=[8] * 5, channels=8)
    cfg.data_preprocessor.size = (64, 64)
    return cfg


def is_mask_based(cfg: Config) -> bool:
    """Whether queries predict masks, with losses of their own."""
    return cfg.model.decode_head.type == 'mmseg.Mask2FormerHead'


def parts(dataset: ConfigDict) -> list[ConfigDict]:
    """Return the datasets of which a dataset is made."""
    inside = dataset.get('datasets', [dataset.dataset] if 'dataset' in dataset else [])
    return [part for one in inside for part in parts(one)] or [dataset]


def batch(cfg: Config, n: int, size: tuple[int, int] = (64, 64)) -> dict:
    """Return made pairs with masks; a column of the first is ignored."""
    bands = 2 * cfg.model.get('backbone_inchannels', 3)
    inputs = [torch.randint(0, 256, (bands, *size), dtype=torch.uint8) for _ in range(n)]
    samples = []
    for _ in range(n):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, *size)))
        samples.append(sample)
    samples[0].gt_sem_seg.data[..., 0] = 255
    return dict(inputs=inputs, data_samples=samples)


@each_config
def test_config_trains_a_step(path):
    cfg = load(path)
    losses = training_step(cfg, batch(cfg, 2))
    if is_mask_based(cfg):
        names = [f'{part}loss_{what}' for part in LAYERS for what in ('cls', 'mask', 'dice')]
        assert set(losses) == {'loss', *(f'decode.{name}' for name in names)}
        assert 0 < losses['loss'] < 20 * len(LAYERS)
        return
    assert set(losses) == {'loss', 'decode.loss_ce', 'decode.loss_dice', 'decode.acc_seg'}
    assert 0 < losses['loss'] < 20


def test_mask_based_config_takes_resnet18():
    (path,) = [path for path in CONFIGS if 'mask2former' in path.stem]
    cfg = Config.fromfile(path)
    cfg.model.backbone = ConfigDict(type='mmseg.ResNet', depth=18)
    cfg.model.neck.fpn.in_channels = [64, 128, 256, 512]
    cfg.data_preprocessor.size = (64, 64)
    assert 0 < training_step(cfg, batch(cfg, 2))['loss'] < 20 * len(LAYERS)


@each_config
def test_config_predicts_and_augments_at_test_time(path):
    cfg = load(path)
    init_default_scope(cfg.default_scope)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for part in parts(cfg[name].dataset):
            for transform in part.pipeline:
                TRANSFORMS.build(transform)
    for transform in cfg.tta_pipeline:
        TRANSFORMS.build(transform)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        METRICS.build(evaluator)
    if cfg.model.test_cfg.mode == 'slide':
        cfg.model.test_cfg.update(crop_size=(64, 64), stride=(32, 32))
    assert predicted_shape(cfg, batch(cfg, 1, (64, 96))) == (1, 64, 96)


@once_per_model
def predicted_shape(cfg: Config, data: dict) -> tuple[int, ...]:
    module = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    model = MODELS.build(dict(cfg.tta_model, module=module)).eval()
    (sample,) = model.module.test_step(data)
    return sample.pred_sem_seg.data.shape


@each_config
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    _, model, settings, data = path.stem.split('_', 3)
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    length = settings.split('-')[1]
    assert cfg.train_cfg['max_iters' if length[-1] == 'i' else 'max_epochs'] == int(length[:-1])
    size = int(data.rsplit('-', 1)[1].removesuffix('px'))
    assert cfg.data_preprocessor.size == (size, size)
    assert cfg.model.test_cfg.get('crop_size', (size, size)) == (size, size)
    if model != 'resnet18':
        assert cfg.model.backbone.arch == model.split('-')[1]
        assert cfg.model.backbone.img_size == size
        starts_from_pretraining = 'tiny' not in model and '-scratch' not in path.stem
        prefixes = [
            (part.get('init_cfg') or {}).get('prefix')
            for part in (cfg.model.backbone, cfg.model.neck.fpn)
        ]
        assert prefixes == (['backbone.', 'neck.'] if starts_from_pretraining else [None, None])
    assert cfg.default_hooks.checkpoint.save_best == 'target/f1'


@pytest.mark.parametrize('path', EVERY, ids=lambda path: path.stem)
def test_header_has_the_command_and_our_figure(path):
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: ' in header


@pytest.mark.parametrize('path', CONFIGS + SEMANTIC, ids=lambda path: path.stem)
def test_pipelines_take_the_data_that_the_config_names(path, tmp_path):
    """Only that the dataset builds, and misses the files that are not there."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for part in parts(cfg[name].dataset):
            with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
                DATASETS.build(dict(part, data_root=str(tmp_path)))


@pytest.mark.opencd
@pytest.mark.slow
def test_opencd_configs_train_and_predict():
    """In a process of its own: open-cd, once imported, stays registered."""
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:
        pytest.skip('open-cd is not installed')
    paths = [str(path) for path in OPENCD]
    script = Path(__file__).with_name('opencd_configs.py')
    result = subprocess.run(
        [sys.executable, str(script), *paths],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    done = [line for line in result.stdout.splitlines() if line.startswith('trained ')]
    assert len(done) == len(paths) == 2
