"""Configs of semantic change: each trains through a real Runner on a made copy of its dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from change_detection.pairs import make_pair, write_second
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image

from mmdynamicvis.change_detection import SECOND, LandsatSCD

from .training import SMALL

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((CHECKOUT / 'configs/change_detection').glob('semantic-*.py'))
DATASETS = dict(second=SECOND, landsat=LandsatSCD)
RESNET = dict(type='mmseg.ResNet', depth=18, zero_init_residual=False)

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def dataset_of(path: Path) -> type:
    return DATASETS[path.stem.split('_')[-1].split('-')[0]]


def write_copy(path: Path, root: Path) -> None:
    """Write a few pairs of 64 px in the layout that a config reads."""
    if dataset_of(path) is SECOND:
        palette = SECOND.METAINFO['maps']['semantic_to']['palette']
        write_second(root / 'train', ['00001', '00002'], palette)
        write_second(root / 'test', ['00003'], palette)
        return
    for folder in ('A', 'B', 'label'):
        (root / folder).mkdir(parents=True)
    for seed in range(3):
        before, after, changed = make_pair((64, 64), seed)
        values = (np.random.default_rng(seed).integers(1, 10, (64, 64)) * changed).astype(np.uint8)
        for folder, array in (('A', before), ('B', after), ('label', values)):
            Image.fromarray(array).save(root / folder / f'{seed}.png')
    for part, names in (('train', '0.png\n1.png\n'), ('val', '2.png\n'), ('test', '2.png\n')):
        (root / f'{part}_list.txt').write_text(names)


def load(path: Path, root: Path, backbone: dict | None = None) -> Config:
    """Read the config, its model small, its data in a folder, for a step and its evaluation."""
    cfg = Config.fromfile(path)
    model = cfg.model
    model.backbone.update(arch=SMALL, img_size=64, init_cfg=None)
    model.neck.fpn.update(in_channels=list(SMALL['embed_dims']), out_channels=8, init_cfg=None)
    if backbone is not None:
        model.backbone = ConfigDict(backbone)
        model.neck.fpn.in_channels = [64, 128, 256, 512]
    model.neck.fusion.channels = 8
    model.neck.decoder.in_channels = model.date_decoder.in_channels = [8] * 5
    for head in model.decode_head.values():
        head.update(in_channels=[8] * 5, channels=8)
    in_process = dict(num_workers=0, persistent_workers=False)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(in_process)
        cfg[name].dataset.data_root = str(root)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = None
    cfg.work_dir = str(root / 'work')
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize(
    ('path', 'backbone'),
    [
        pytest.param(CONFIGS[0], None, marks=pytest.mark.exhaustive, id='second-base'),
        pytest.param(CONFIGS[1], None, id='landsat-scd-tiny'),
        pytest.param(CONFIGS[2], RESNET, marks=pytest.mark.exhaustive, id='second-resnet18'),
    ],
)
def test_config_trains_and_is_evaluated(path, backbone, tmp_path):
    """A step, a validation and a test with its pictures; heads do not depend on the backbone."""
    write_copy(path, tmp_path)
    cfg = load(path, tmp_path, backbone)
    runner = Runner.from_cfg(cfg)
    losses = []
    step = runner.model.train_step
    runner.model.train_step = lambda *args, **more: losses.append(step(*args, **more)) or losses[-1]
    runner.train()
    (logged,) = losses
    names = {
        'loss',
        'joint.loss_consistency',
        'change.loss_ce',
        'change.loss_dice',
        'change.acc_seg',
        *(f'semantic_{d}.{what}' for d in ('from', 'to') for what in ('loss_ce', 'acc_seg')),
    }
    assert set(logged) == names
    assert 0 < logged['loss'] < 20
    scores = runner.test()
    assert {f'semantic/{name}' for name in ('SeK', 'mIoU', 'Fscd', 'OA')} < set(scores)
    assert all(np.isfinite(value) for value in scores.values())
    pictures = [*(Path(runner.log_dir) / 'error_maps').iterdir()]
    assert len(pictures) == 1
    assert Image.open(pictures[0]).size == (64, 64)


@each_config
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    _, model, settings, data = path.stem.split('_', 3)
    dataset = dataset_of(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == f'mmdynamicvis.{dataset.__name__}'
    classes = len(dataset.METAINFO['maps']['semantic_to']['classes'])
    assert cfg.model.decode_head.semantic.num_classes == classes - 1
    assert cfg.model.backbone.arch == model.split('-')[1]
    assert cfg.model.backbone.img_size == int(data.rsplit('-', 1)[1].removesuffix('px'))
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    assert cfg.train_cfg.max_epochs == int(settings.split('-')[1].removesuffix('e'))
    starts = 'tiny' not in model and '-scratch' not in path.stem
    parts = (cfg.model.backbone, cfg.model.neck.fpn)
    prefixes = [(part.get('init_cfg') or {}).get('prefix') for part in parts]
    assert prefixes == (['backbone.', 'neck.'] if starts else [None, None])
    # pairs that are tested do not choose the checkpoint
    validated = cfg.val_dataloader.dataset != cfg.test_dataloader.dataset
    best = 'semantic/SeK' if validated else None
    assert cfg.default_hooks.checkpoint.save_best == best


def test_test_time_augmentation_sees_all_maps(tmp_path):
    path = CONFIGS[1]
    write_copy(path, tmp_path)
    cfg = load(path, tmp_path)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    runner = Runner.from_cfg(cfg)
    runner.model.eval()
    (sample,) = [s for batch in runner.test_dataloader for s in runner.model.test_step(batch)]
    for name in ('change', 'semantic_from', 'semantic_to'):
        assert sample.get(f'pred_{name}').data.shape == (1, 64, 64)
        assert sample.get(f'gt_{name}').data.shape == (1, 64, 64)
    assert ((sample.pred_semantic_to.data > 0) == (sample.pred_change.data > 0)).all()


def test_sek_loss_is_an_option(tmp_path):
    cfg = load(CONFIGS[1], tmp_path)
    cfg.model.joint_losses.append(dict(type='mmdynamicvis.SeKLoss'))
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    assert [loss.loss_name for loss in model.joint_losses] == ['loss_consistency', 'loss_sek']
