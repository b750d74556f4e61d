"""Configs of building damage, from the published layouts to the score, with small models."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from change_detection.disasters import write_bright, write_disasters
from change_detection.models import batch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from running import run_tool

from .training import SMALL, training_step

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((CHECKOUT / 'configs/change_detection').glob('siamese-damage_dynamicvis-*.py'))

BASE, TINY = CONFIGS
(BRIGHT,) = (CHECKOUT / 'configs/change_detection').glob('siamese-damage_multimodal-*.py')

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path, data_root: Path, work_dir: Path) -> Config:
    """Read a config; its model and crops are small, its data are read in this process."""
    cfg = Config.fromfile(path)
    model = cfg.model
    model.backbone.update(arch=SMALL, img_size=64, init_cfg=None)
    if path == BRIGHT:
        model.modality_neck.in_channels = SMALL['embed_dims']
        cfg.train_dataloader.dataset.pipeline[2].size = 16.0  # meters: 32 px
    else:
        model.test_cfg.update(crop_size=(64, 64), stride=(64, 64))
        cfg.data_preprocessor.size = (32, 32)
        for part in cfg.train_dataloader.dataset.datasets:
            part.pipeline[2].crop_size = (32, 32)
    model.neck.fpn.update(in_channels=list(SMALL['embed_dims']), out_channels=8, init_cfg=None)
    model.neck.fusion.channels = 8
    for decoder in (model.neck.decoder, model.date_decoder):
        decoder.in_channels = [8] * 5
    for head in model.decode_head.values():
        head.update(in_channels=[8] * 5, channels=8)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        for part in loader.dataset.get('datasets', [loader.dataset]):
            folder = '' if path == BRIGHT else Path(part.data_root).name
            part.data_root = str(data_root / folder)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
    cfg.param_scheduler = None
    cfg.work_dir = str(work_dir)
    cfg.default_hooks.checkpoint.interval = 1
    return cfg


def balance(cfg: Config) -> None:
    """Balance the learning rates of the heads, as docs/change_detection.md shows."""
    names = ('location', 'damage')
    parts = {f'decode_head.{name}': [f'{name}.loss_ce', f'{name}.loss_lovasz'] for name in names}
    hook = dict(type='mmdynamicvis.BalancedLearningRateHook', parts=parts, partial=True)
    cfg.custom_hooks = [hook]


def write_splits(root: Path, path: Path) -> Path:
    """Write the layout of a config's dataset: of xBD, with targets, a pair per split."""
    if path == BRIGHT:
        names = dict(train=['a_00000000', 'b_00000003'], val=['c_00000000'], test=['d_00000000'])
        write_bright(root, names)
        return root
    pytest.importorskip('shapely')
    for split in ('train', 'tier3', 'hold', 'test'):
        write_disasters(root / split, ['flood_00000000'])
        tool = CHECKOUT / 'tools/prepare_data/xbd.py'
        result = run_tool(tool, root / split / 'labels', root / split / 'targets')
        assert result.returncode == 0, result.stderr
    return root


@each_config
def test_config_trains_a_step(path):
    cfg = load(path, Path(), Path())
    init_default_scope('mmseg')
    data = batch((32, 32))
    for sample in data['data_samples']:
        location = sample.gt_sem_seg.data
        sample.set_data(
            dict(gt_location=PixelData(data=location), gt_damage=PixelData(data=location * 4))
        )
    losses = training_step(cfg, data)
    assert set(losses) == {
        'loss',
        *(
            f'{name}.{what}'
            for name in ('location', 'damage')
            for what in ('loss_ce', 'loss_lovasz', 'acc_seg')
        ),
    }
    assert 0 < losses['loss'] < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ('path', 'backbone'),
    [
        (TINY, 'dynamicvis'),
        (BRIGHT, 'dynamicvis'),
        pytest.param(TINY, 'resnet18', marks=pytest.mark.exhaustive),
        pytest.param(BASE, 'dynamicvis', marks=pytest.mark.exhaustive),
    ],
    ids=['tiny', 'bright', 'tiny-resnet18', 'base'],
)
def test_from_training_to_test(path, backbone, tmp_path):
    cfg = load(path, write_splits(tmp_path / 'data', path), tmp_path / 'work')
    if backbone == 'resnet18':
        cfg.model.backbone = dict(type='mmseg.ResNet', depth=18)
        cfg.model.neck.fpn.in_channels = [64, 128, 256, 512]
    cfg.default_hooks.visualization.draw = backbone == 'dynamicvis' and path != BASE
    if path == TINY:
        balance(cfg)
    runner = Runner.from_cfg(cfg)
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    after = runner.model.state_dict()
    parts = ['backbone', 'neck', 'date_decoder', 'decode_head.location', 'decode_head.damage']
    for part in [*parts, *(['modality_neck'] if path == BRIGHT else [])]:
        keys = [key for key in after if key.startswith(part)]
        assert any(not torch.equal(after[key], before[key]) for key in keys), part
    balanced = {key for key in runner.message_hub.log_scalars if 'balance' in key}
    assert len(balanced) == (3 if path == TINY else 0)
    metrics = runner.test()
    names = {'score', 'localization_f1', 'damage_f1', 'damage_f1_destroyed', 'OA', 'mIoU'}
    assert {f'damage/{name}' for name in names} <= set(metrics)
    assert all(0 <= value <= 100.001 for value in metrics.values())
    (best,) = (tmp_path / 'work').glob('best_damage_*_epoch_1.pth')
    assert best.stem.split('_')[2] == ('mIoU' if path == BRIGHT else 'score')
    drawn = list((tmp_path / 'work').glob('**/vis_image/test_*.png'))
    assert len(drawn) == cfg.default_hooks.visualization.draw


def test_test_time_augmentation(tmp_path):
    """Labels are loaded after the flips, because predictions are flipped back."""
    cfg = load(TINY, write_splits(tmp_path / 'data', TINY), tmp_path / 'work')
    init_default_scope('mmseg')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    model = MODELS.build(cfg.tta_model).eval()
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    data = next(iter(loader))
    assert len(data['inputs']) == 3
    assert torch.equal(data['inputs'][1][0], data['inputs'][0][0].flip(2))
    samples = [sample for version in data['data_samples'] for sample in version]
    assert all(torch.equal(s.gt_damage.data, samples[0].gt_damage.data) for s in samples)
    (merged,) = model.test_step(data)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = loader.dataset.metainfo
    metric.process({}, [merged.to_dict()])
    assert 0 <= metric.evaluate(1)['damage/score'] <= 100


@pytest.mark.parametrize('path', [*CONFIGS, BRIGHT], ids=lambda path: path.stem)
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    _, model, settings, data = path.stem.split('_', 3)
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    assert cfg.train_cfg.max_epochs == int(settings.split('-')[1].removesuffix('e'))
    size = int(data.rsplit('-', 1)[1].removesuffix('px'))
    if path == BRIGHT:
        (crop,) = [step for step in cfg.train_pipeline if 'Crop' in step.type]
        assert {crop.size / gsd for gsd in cfg.gsd.values()} == {size}
    else:
        assert cfg.data_preprocessor.size == (size, size)
        assert cfg.model.test_cfg.crop_size == (size, size)
        for part in cfg.train_dataloader.dataset.datasets:
            (crop,) = [step for step in part.pipeline if step.type == 'RandomCrop']
            assert crop.crop_size == (size, size)
    assert cfg.model.backbone.arch == model.split('-')[-1]
    assert cfg.model.backbone.img_size == size
    assert (cfg.model.backbone.get('init_cfg') is not None) == (path == BASE)
    levels = len(
        DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['maps']['damage']['classes']
    )
    assert cfg.model.decode_head.damage.num_classes == levels - 1
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: not trained' in header
    init_default_scope(cfg.default_scope)
    for transform in cfg.get('tta_pipeline', ()):
        TRANSFORMS.build(transform)


def test_modalities_are_the_same_everywhere():
    cfg = Config.fromfile(BRIGHT)
    load = TRANSFORMS.build(cfg.train_pipeline[0])
    for name, of_backbone in cfg.model.backbone.modalities.items():
        of_data = cfg.data_preprocessor.modalities[name]
        assert of_backbone.gsd == cfg.gsd[name]
        assert of_backbone.unit == of_data.unit == load._unit(name)
        assert len(of_backbone.bands) == len(of_data.mean)
        if load._bands(name) is not None:
            assert tuple(of_backbone.bands) == tuple(of_data.bands) == load._bands(name)
    neck = cfg.model.modality_neck
    assert set(neck.modalities) == set(cfg.model.backbone.modalities) == set(cfg.model.dates)
    assert list(neck.cells) == [cfg.gsd.optical * 4 * 2**level for level in range(4)]


def test_bright_labels_move_with_the_images(tmp_path):
    cfg = load(BRIGHT, write_splits(tmp_path / 'data', BRIGHT), tmp_path / 'work')
    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    for _ in range(4):
        sample = dataset[0]
        optical, sar = (sample['inputs'].images[name][0] for name in ('optical', 'sar'))
        assert optical.shape == (3, 32, 32) and sar.shape == (1, 32, 32)
        labels = sample['data_samples']
        roof = (optical == torch.tensor([200.0, 205.0, 210.0])[:, None, None]).all(0)
        assert torch.equal(labels.gt_location.data[0], roof.long())
        assert torch.equal(labels.gt_damage.data > 0, labels.gt_location.data > 0)
        # the gray of a roof of level 3 or 4 is the darkest of all
        destroyed = labels.gt_damage.data == 3
        assert destroyed.any() == (sar[destroyed] <= 80).any()
