"""Configs with inputs of several modalities, from files to metrics, with small models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import Runner
from PIL import Image
from rasters import write_raster
from running import run_tool

CHECKOUT = Path(__file__).resolve().parents[2]
# of building damage: test_damage_configs.py
CONFIGS = [
    path
    for path in sorted(CHECKOUT.glob('configs/*/*multimodal-*.py'))
    if not path.name.startswith('siamese-damage')
]
LAND_COVER = CHECKOUT / (
    'configs/segmentation/upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
)
BIGEARTHNET = CHECKOUT / (
    'configs/classification/multimodal-dynamicvis-tiny_1xb64-10e_bigearthnet-120px.py'
)
CHANGE = CHECKOUT / (
    'configs/change_detection/siamese_multimodal-dynamicvis-tiny_1xb4-300i_oscd-resolutions-96px.py'
)
PRETRAINING = CHECKOUT / (
    'configs/pretraining/modality_multimodal-dynamicvis-tiny_1xb8-50e_terramesh-224px.py'
)
WIDTHS = (8, 12, 16, 20)
S2 = 'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP'
S1 = 'S1A_IW_GRDH_1SDV_20170613T165043'

each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def load(path: Path, data_root: Path, work_dir: Path) -> Config:
    """Read a config; its model is small, and its data are read in this process."""
    cfg = Config.fromfile(path)
    cfg.model.backbone.update(arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)), img_size=64)
    if path == LAND_COVER:
        cfg.model.neck.update(in_channels=WIDTHS, out_channels=8)
        cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)
        cfg.model.auxiliary_head.update(in_channels=8, channels=8)
    elif path == CHANGE:
        cfg.model.modality_neck.in_channels = WIDTHS
        cfg.model.neck.fpn.update(in_channels=list(WIDTHS), out_channels=8)
        cfg.model.neck.fusion.channels = 8
        cfg.model.neck.decoder.in_channels = [8] * 5
        cfg.model.decode_head.update(in_channels=[8] * 5, channels=8)
    elif path == PRETRAINING:
        cfg.model.neck.in_channels = WIDTHS[-1:]
    else:
        cfg.model.neck[0].update(in_channels=WIDTHS[-1:], out_channels=8)
        cfg.model.head.in_channels = 8
    for split in ('train', 'val', 'test'):
        if loader := cfg[f'{split}_dataloader']:
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset.get('dataset', loader.dataset).data_root = str(data_root)
    cfg.train_dataloader.batch_size = 2
    if path == CHANGE:
        cfg.train_cfg.update(max_iters=2, val_interval=2)
    else:
        cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2)
    cfg.param_scheduler = None
    cfg.work_dir = str(work_dir)
    return cfg


@each_config
def test_config_is_what_its_name_says(path):
    cfg = Config.fromfile(path)
    *_, model, settings, data = path.stem.split('_')
    gpus, batch_size = settings.split('-')[0].split('xb')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size)
    length = settings.split('-')[1]
    unit = dict(e='max_epochs', i='max_iters')[length[-1]]
    assert cfg.train_cfg[unit] == int(length[:-1])
    assert cfg.model.backbone.arch == model.split('-')[-1]
    assert cfg.model.backbone.img_size == int(data.rsplit('-', 1)[1].removesuffix('px'))
    header = path.read_text().split('\n_base_')[0]
    assert f'mim train mmdynamicvis {path.name}' in header
    assert 'Ours: not trained' in header or 'Ours: see README.md' in header


@each_config
def test_modalities_are_the_same_everywhere(path):
    cfg = Config.fromfile(path)
    backbone = cfg.model.backbone.modalities
    statistics = cfg.data_preprocessor.modalities
    loaders = cfg.train_pipeline[0].loaders
    necks = cfg.model.neck if isinstance(cfg.model.neck, list) else [cfg.model.neck]
    neck = cfg.model.get('modality_neck', necks[0])
    assert set(backbone) == set(statistics) == set(loaders) == set(neck.modalities)
    strides = [4 * 2**i for i in cfg.model.backbone.get('out_indices', range(4))]
    assert [backbone[cfg.model.backbone.primary].gsd * stride for stride in strides] == list(
        neck.cells
    )
    init_default_scope(cfg.default_scope)
    load = TRANSFORMS.build(cfg.train_pipeline[0])
    for name, of_backbone in backbone.items():
        of_data = statistics[name]
        assert of_backbone.unit == of_data.unit == load._unit(name)
        assert len(of_backbone.bands) == len(of_data.mean) == len(loaders[name].bands)
        if load._bands(name) is not None:
            assert tuple(of_backbone.bands) == tuple(of_data.bands) == load._bands(name)


@each_config
def test_config_is_complete(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    for split in ('train', 'val', 'test'):
        if cfg[f'{split}_dataloader'] is None:
            assert path == PRETRAINING and split != 'train'
            continue
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset = dataset.get('dataset', dataset)
        classes = DATASETS.build(dict(dataset, lazy_init=True)).metainfo['classes']
        heads = [cfg.model[key] for key in cfg.model if key.endswith('head')]
        assert {head.num_classes for head in heads} == ({len(classes)} if heads else set())
        assert dataset.data_root == cfg.data_root
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    for evaluator in filter(None, evaluators):
        METRICS.build(evaluator)
    MODELS.build(cfg.data_preprocessor)


def write_tiles(root: Path, size: int = 64) -> Path:
    """Three tiles to train and two to validate."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 3), ('val', 2)):
        for i in range(count):
            labels = rng.integers(1, 10, (size, size), dtype=np.uint8)
            labels[:2] = 0
            optical = rng.integers(1, 8000, (12, size, size), dtype=np.int16)
            radar = rng.normal(-12, 4, (2, size, size))
            radar[:, 4:6] = np.nan
            dem = rng.integers(0, 900, (1, size, size), dtype=np.int16)
            folder = root / split
            for name, image in dict(S2L2A=optical, S1RTC=radar, DEM=dem, LULC=labels).items():
                write_raster(folder / name / f'tile_{i}.tif', image)
    return root


@pytest.mark.exhaustive
def test_land_cover_from_training_to_test(tmp_path):
    data = write_tiles(tmp_path / 'data')
    (data / 'train/DEM/tile_1.tif').unlink()
    cfg = load(LAND_COVER, data, tmp_path / 'work')
    cfg.train_dataloader.dataset.optional = ['dem']
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert 0 < metrics['mIoU'] <= 100
    assert len(list((tmp_path / 'work').glob('**/vis_image/test_*.png'))) == 2
    # the rows without labels do not count, those without radar do
    (sample,) = next(iter(runner.test_dataloader))['data_samples']
    assert sample.gt_sem_seg.data[0, :2].unique().tolist() == [255]
    assert sample.gt_sem_seg.data[0, 2:].max() == 8

    cfg.dump(tmp_path / 'config.py')
    arguments = [tmp_path / 'config.py', tmp_path / 'work/epoch_2.pth']
    run = run_tool(CHECKOUT / 'tools/test.py', *arguments, '--work-dir', tmp_path / 'tested')
    assert run.returncode == 0, run.stderr
    (scores,) = (tmp_path / 'tested').glob('*/*.json')
    assert json.loads(scores.read_text())['mIoU'] == pytest.approx(metrics['mIoU'])


def write_dates(root: Path) -> Path:
    """Two pairs to train and one to test, 96 px at 10 m, in degrees."""
    rng = np.random.default_rng(0)
    names = dict(train=['city_0000_0000', 'city_0000_0048'], test=['city_0000_0480'])
    for split, of_split in names.items():
        for name in of_split:
            for folder, count, size in (('10m', 4, 96), ('20m', 6, 48), ('60m', 3, 16)):
                for date in (1, 2):
                    image = rng.integers(1, 3000, (count, size, size), dtype=np.uint16)
                    write_raster(root / folder / name / f'{date}.tif', image, 960 / size)
            (root / 'label').mkdir(exist_ok=True)
            change = rng.integers(0, 2, (96, 96), dtype=np.uint8) * 255
            Image.fromarray(change).save(root / f'label/{name}.png')
        (root / 'list').mkdir(exist_ok=True)
        (root / f'list/{split}.txt').write_text('\n'.join(of_split))
    return root


def test_change_from_training_to_test(tmp_path):
    """Both dates of three resolutions."""
    cfg = load(CHANGE, write_dates(tmp_path / 'data'), tmp_path / 'work')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0 <= runner.test()['target/recall'] <= 100
    batch = runner.model.data_preprocessor(next(iter(runner.test_dataloader)))
    images = batch['inputs'].images
    assert {name: tuple(of.pixels.shape) for name, of in images.items()} == dict(
        s2_10m=(2, 4, 96, 96), s2_20m=(2, 6, 48, 48), s2_60m=(2, 3, 16, 16)
    )
    assert len(list((tmp_path / 'work').glob('**/vis_image/test_*.png'))) == 1


def test_pretraining_from_tiles_to_land_cover(tmp_path):
    """The README's commands: train, convert, and start the land cover config from the weights."""
    data = write_tiles(tmp_path / 'data')
    (data / 'train/DEM/tile_1.tif').unlink()
    cfg = load(PRETRAINING, data, tmp_path / 'work')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    # a tile of 64 px has 2 x 2 cells of 320 m, of which often none is hidden
    cell = 80.0
    cfg.model.neck.cells, cfg.model.backbone.cell = (cell,), cell
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    trained = runner.model.state_dict()
    for part in ('backbone.', 'neck.'):
        assert any((trained[key] != before[key]).any() for key in trained if key.startswith(part))
    log = next((tmp_path / 'work').glob('*/vis_data/scalars.json')).read_text()
    assert 0 < json.loads(log.splitlines()[0])['loss_hidden'] < 20

    weights = tmp_path / 'weights.safetensors'
    script = CHECKOUT / 'tools/convert_checkpoint.py'
    run = run_tool(script, tmp_path / 'work/epoch_1.pth', weights, '--parts', 'backbone')
    assert run.returncode == 0, run.stderr
    cfg = load(LAND_COVER, data, tmp_path / 'fine')
    cfg.merge_from_dict(
        {
            'model.backbone.init_cfg.type': 'Pretrained',
            'model.backbone.init_cfg.prefix': 'backbone.',
            'model.backbone.cell': cell,
            'model.backbone.init_cfg.checkpoint': str(weights),
        }
    )
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    loaded = model.backbone.state_dict()
    assert loaded.keys() == {key[9:] for key in trained if key.startswith('backbone.')}
    for key, value in loaded.items():
        torch.testing.assert_close(value, trained[f'backbone.{key}'], rtol=0, atol=0)


@pytest.mark.shared_data
@pytest.mark.exhaustive
def test_land_cover_of_real_tiles(shared_data, tmp_path):
    cfg = load(LAND_COVER, shared_data / 'terramind_tiles', tmp_path / 'work')
    folders = cfg.train_dataloader.dataset.data_prefix
    folders = {key: folder.removeprefix('train/') for key, folder in folders.items()}
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_prefix = folders
    cfg.train_cfg.update(max_epochs=1, val_interval=2)
    cfg.default_hooks.visualization.draw = False
    runner = Runner.from_cfg(cfg)
    batch = runner.model.data_preprocessor(next(iter(runner.train_dataloader)))
    images = batch['inputs'].images
    assert {name: tuple(of.pixels.shape) for name, of in images.items()} == dict(
        sentinel2=(2, 12, 224, 224), sentinel1=(2, 2, 224, 224), dem=(2, 1, 224, 224)
    )
    assert all(of.gsd == 10 for of in images.values())
    for of in images.values():  # statistics of the whole world
        assert of.pixels.mean().abs() < 1.5 and of.pixels.std() < 2
    runner.train()
    assert 0 <= runner.val_loop.run()['aAcc'] <= 100


def write_pairs(root: Path) -> Path:
    """Three patches per split in the layout of reBEN, 48 px at 10 m."""
    pa = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    rows = []
    for i in range(9):
        optical, radar = f'{S2}_{i}_1', f'{S1}_33UUP_{i}_1'
        for band in Config.fromfile(BIGEARTHNET).s2_bands:
            size = 48 if band in ('B02', 'B03', 'B04', 'B08') else 24
            write_raster(
                root / f'BigEarthNet-S2/{S2}/{optical}/{optical}_{band}.tif',
                rng.integers(0, 4000, (size, size), dtype=np.uint16),
                480 / size,
            )
        for band in ('VV', 'VH'):
            image = rng.normal(-15, 5, (48, 48)).astype(np.float32)
            write_raster(root / f'BigEarthNet-S1/{S1}/{radar}/{radar}_{band}.tif', image)
        split = ('train', 'validation', 'test')[i % 3]
        labels = ['Arable land', 'Pastures'] if i % 2 else ['Marine waters']
        rows.append(dict(patch_id=optical, s1_name=radar, labels=labels, split=split))
    parquet.write_table(pa.Table.from_pylist(rows), root / 'metadata.parquet')
    return root


def test_bigearthnet_from_training_to_test(tmp_path):
    cfg = load(BIGEARTHNET, write_pairs(tmp_path / 'data'), tmp_path / 'work')
    cfg.train_dataloader.num_workers = 1  # samples go through a worker
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0 <= runner.test()['multi-label/mAP'] <= 100
    batch = runner.model.data_preprocessor(pseudo_collate([runner.train_dataloader.dataset[0]]))
    assert batch['inputs'].images['sentinel2'].pixels.shape == (1, 10, 48, 48)
    assert batch['inputs'].images['sentinel1'].bands == ('VV', 'VH')
    assert torch.isfinite(batch['inputs'].images['sentinel1'].pixels).all()
    assert batch['data_samples'][0].gt_label.tolist() == [18]
