r"""Train DynamicVis on several modalities, with parts of it on and off.

    python tools/benchmark/modality_study.py --oscd data/oscd --tiles data/terramind_tiles \
        --out benchmarks/results/modality_study_cpu.json

`change` is change detection in Rennes (OSCD), trained on the western 3.4 km and evaluated on the
next 1.9 km to the east: the 13 bands of Sentinel-2 each at its own 10, 20 and 60 m, the same where
all stages merge patches, and all bands resampled to 10 m. `land cover` is that of two tiles of
TerraMind from Sentinel-2, Sentinel-1 and elevation, trained on the western 1.6 km and evaluated on
the other 0.6 km, with all modalities and without each: with prompt tokens, without dropout of
modalities, and with mixtures of experts.

All runs have a small network, about 150 steps of 4 windows, equal learning rates and one thread.
Means are reported with 95% intervals of Student's t over the seeds. Training steps of the
contenders on one batch are timed in alternation. When the command is repeated, finished runs are
not repeated and interrupted ones continue; results of other tasks stay in the file.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from measure import interval, medians
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from rasterio.windows import Window
from record import Record
from torchmetrics.functional.classification import binary_average_precision
from training_run import CHECKOUT, Run, train_all, training_step

CHANGE = CHECKOUT / (
    'configs/change_detection/siamese_multimodal-dynamicvis-tiny_1xb4-300i_oscd-resolutions-96px.py'
)
LAND_COVER = CHECKOUT / (
    'configs/segmentation/upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
)
CITY = 'rennes'
"""The city with georeferenced files of all bands at both dates."""
WEST = 336
"""First column of the evaluated part of the city, in pixels of 10 m."""
SIZE = 96
STACK = 's2_13_bands'
FOLDERS = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM', seg_map_path='LULC')
WINDOW = 64
COLUMNS = {'train': range(0, 97, 32), 'val': (160,)}
"""First columns of the windows of a tile of 224 px."""
ROWS = {'train': range(0, 161, 32), 'val': (0, 64, 128)}
STEPS = 150
EPOCHS = 13
"""Of 48 windows, in batches of 4."""
WIDTHS = (32, 48, 64, 96)
"""Channels of the stages; each has one unit."""
METRICS = {'change': ('target/f1', 'target/iou'), 'land cover': ('mIoU', 'aAcc')}
REPEATS = 9


def prepare_change(source: Path, target: Path) -> None:
    """Cut the city into tiles of 96 px at 10 m, for each resolution and on one grid."""
    if target.exists():
        return
    part = target.with_name(f'{target.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    for folder in ('images', 'train_labels'):
        (part / 'source' / folder).mkdir(parents=True)
        (part / 'source' / folder / CITY).symlink_to((source / folder / CITY).resolve())
    tool = CHECKOUT / 'tools/prepare_data/oscd.py'
    for bands in ('resolutions', 'all'):
        command = [sys.executable, tool, part / 'source', part / bands, '--bands', bands]
        subprocess.run([*command, '--size', str(SIZE), '--stride', str(SIZE // 2)], check=True)
    tiles = part / 'resolutions'
    parts: dict[str, list[str]] = {'train': [], 'test': []}
    for name in (tiles / 'list/train.txt').read_text().split():
        row, column = map(int, name.split('_')[1:])
        if column + SIZE <= WEST:
            parts['train'].append(name)
        elif not (row % SIZE or (column - WEST) % SIZE):
            parts['test'].append(name)  # these do not overlap
    for name in chain(*parts.values()):
        (tiles / STACK / name).mkdir(parents=True)
        for date, folder in enumerate(('A', 'B'), start=1):
            shutil.copy(part / f'all/{folder}/{name}.tif', tiles / STACK / f'{name}/{date}.tif')
    for which, chosen in parts.items():
        (tiles / f'list/{which}.txt').write_text('\n'.join([*chosen, '']))
    tiles.rename(target)
    shutil.rmtree(part)


def prepare_land_cover(source: Path, target: Path) -> None:
    """Cut the tiles into windows, for all modalities and the labels."""
    if target.exists():
        return
    part = target.with_name(f'{target.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    for folder in FOLDERS.values():
        for path in sorted((source / folder).glob('*.tif')):
            with rasterio.open(path) as file:
                for split, columns in COLUMNS.items():
                    places = [(x, y) for y in ROWS[split] for x in columns]
                    (part / split / folder).mkdir(parents=True, exist_ok=True)
                    for x, y in places:
                        output = part / split / folder / f'{path.stem}_{y:03}_{x:03}.tif'
                        write_window(file, Window(x, y, WINDOW, WINDOW), output)
    part.rename(target)


def write_window(file: rasterio.DatasetReader, window: Window, path: Path) -> None:
    """Write a window of a raster with its georeferencing."""
    place = dict(width=WINDOW, height=WINDOW, transform=file.window_transform(window))
    profile = {**file.profile, **place, 'tiled': False, 'blockysize': 1}
    with rasterio.open(path, 'w', **profile) as output:
        output.write(file.read(window=window))


def change_config() -> Config:
    """Return the config of the city, without modality dropout: no sample lacks a modality."""
    cfg = Config.fromfile(CHANGE)
    cfg.model.modality_neck.update(drop=0.0, in_channels=WIDTHS)
    cfg.model.neck.fpn.in_channels = list(WIDTHS)
    cfg.train_cfg.update(max_iters=STEPS, val_interval=STEPS // 3)
    cfg.param_scheduler[-1].end = STEPS
    cfg.default_hooks.visualization.draw = False
    return cfg


def stacked(cfg: Config) -> None:
    """Make one modality of all bands at 10 m of the three, in place."""
    names = [f'B{i:02}' for i in range(1, 9)] + ['B8A', 'B09', 'B10', 'B11', 'B12']
    of_band = {}
    for name, statistics in cfg.data_preprocessor.modalities.items():
        bands = cfg.bands[name]
        of_band |= dict(zip(bands, zip(statistics.mean, statistics.std, strict=True), strict=True))
    mean, std = (list(values) for values in zip(*(of_band[name] for name in names), strict=True))
    cfg.data_preprocessor.modalities = {STACK: dict(unit='stored', mean=mean, std=std)}
    cfg.model.data_preprocessor = cfg.data_preprocessor
    cfg.model.backbone.primary = STACK
    cfg.model.backbone.modalities = {STACK: dict(bands=names, gsd=10.0, unit='stored')}
    cfg.model.modality_neck.modalities = (STACK,)
    train = cfg.train_dataloader.dataset.dataset
    for dataset in (train, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        load = dataset.pipeline[0]
        loader = dict(type='mmdynamicvis.LoadGeoTIFF', bands=list(range(1, 14)))
        load.loaders, load.gsd = {STACK: loader}, {STACK: 10.0}
        dataset.data_prefix = {STACK: STACK, 'seg_map_path': 'label'}
        dataset.suffixes = {STACK: '/*.tif', 'seg_map_path': '.png'}
        dataset.primary = STACK


def all_merge(cfg: Config) -> None:
    """Let every stage merge patches whatever the resolution, in place."""
    cfg.model.backbone.cell = None


def land_cover_config() -> Config:
    """Return the config of land cover, for windows and about 150 steps."""
    cfg = Config.fromfile(LAND_COVER)
    cfg.model.backbone.img_size = WINDOW
    cfg.model.neck.in_channels = WIDTHS
    cfg.train_dataloader.batch_size = 4
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=5, max_keep_ckpts=1)
    cfg.default_hooks.visualization.draw = False
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = 1
    return cfg


def with_prompts(cfg: Config) -> None:
    """Add four prompt tokens per modality, in place."""
    cfg.model.backbone.prompts = 4


def without_dropout(cfg: Config) -> None:
    """Drop no modality in training, in place."""
    cfg.model.neck.drop = 0.0


def with_experts(cfg: Config) -> None:
    """Add eight experts after the units of the last stage, with their balancing loss, in place."""
    cfg.model.backbone.experts = dict(num=8, top_k=1)
    cfg.custom_imports = dict(imports=['balanced'])
    cfg.model.type = 'BalancedEncoderDecoder'


def unchanged(cfg: Config) -> None:
    """Change nothing."""


CONTENDERS: dict[str, dict[str, Callable[[Config], None]]] = {
    'change': {
        'own resolutions': unchanged,
        'own resolutions, all stages merge': all_merge,
        'resampled to 10 m': stacked,
    },
    'land cover': {
        'default': unchanged,
        'with prompts': with_prompts,
        'without modality dropout': without_dropout,
        'with experts': with_experts,
    },
}
MAKERS = {'change': change_config, 'land cover': land_cover_config}


def write_config(task: str, name: str, folder: Path) -> Path:
    """Write the config of a contender; an equal one is kept, so that runs can continue."""
    cfg = MAKERS[task]()
    cfg.model.backbone.arch = dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1))
    cfg.optim_wrapper.optimizer.lr = 2e-3
    CONTENDERS[task][name](cfg)
    path = folder / f'{file_name(task, name)}.py'
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path


def file_name(*names: str) -> str:
    """Return a file name of the names of a task and a contender."""
    return '_'.join(names).replace(',', '').replace(' ', '-')


def without_each(run: Run) -> dict[str, dict[str, float]]:
    """Return the metrics of a finished run without each of its modalities."""
    results = {}
    for name in sorted(set(FOLDERS) - {'seg_map_path'}):
        cfg = copy.deepcopy(run.load())
        cfg.work_dir, cfg.load_from = str(run.folder / f'without_{name}'), str(run.checkpoint())
        del cfg.val_dataloader.dataset.data_prefix[name]
        cfg.val_dataloader.dataset.optional = []
        if name == 'sentinel2':
            cfg.val_dataloader.dataset.primary = 'sentinel1'
        found = Runner.from_cfg(cfg).val()
        results[name] = {metric: float(found[metric]) for metric in METRICS['land cover']}
    return results


@torch.inference_mode()
def average_precision(run: Run, loader: str) -> float:
    """Return the average precision of change over the pixels of a dataset of the config, in %."""
    dataset = DATASETS.build(run.load()[loader].dataset)
    model = run.build(run.checkpoint())
    scores, labels = [], []
    for i in range(len(dataset)):
        (result,) = model.test_step(pseudo_collate([dataset[i]]))
        scores.append(result.seg_logits.data.softmax(0)[1].flatten())
        labels.append(result.gt_sem_seg.data.flatten())
    found = binary_average_precision(torch.cat(scores), torch.cat(labels))
    return 100 * found.item()


def values_per_sample(run: Run) -> int:
    """Return the number of pixels times bands that a training sample has."""
    dataset = DATASETS.build(run.load().train_dataloader.dataset)
    sample = pseudo_collate([dataset[0]])['inputs'][0]
    return sum(date.numel() for dates in sample.images.values() for date in dates)


def summary(values: list[float]) -> dict[str, Any]:
    """Return values of several seeds, their mean and its interval."""
    return dict(values=values, mean=float(np.mean(values)), interval=interval(values))


def measure(task: str, runs: dict[str, list[Run]], record: Record) -> None:
    """Add a row per contender."""
    models, steps = zip(*(training_step(group[0]) for group in runs.values()), strict=True)
    times = medians(dict(zip(runs, steps, strict=True)), REPEATS)
    for (name, group), model in zip(runs.items(), models, strict=True):
        row: dict[str, Any] = dict(task=task, contender=name, seeds=[run.seed for run in group])
        for metric in METRICS[task]:
            curves = [run.curve(metric) for run in group]
            # a ratio without any prediction of change is not defined
            final = [float(np.nan_to_num(curve[max(curve)])) for curve in curves]
            row[metric] = summary(final)
        if task == 'change':
            found = [average_precision(run, 'val_dataloader') for run in group]
            row['average precision'] = summary(found)
            row['average precision in training'] = summary(
                [average_precision(run, 'train_dataloader') for run in group]
            )
        else:
            row['without'] = [without_each(run) for run in group]
        row |= {
            'parameters': sum(p.numel() for p in model.parameters()),
            'step_s': times[name],
            'values_per_sample': values_per_sample(group[0]),
        }
        about = dict(task=task, contender=name)
        for earlier in [it for it in record.rows if about.items() <= it.items()]:
            record.drop(earlier)
        record.add(**row)
        main = row[METRICS[task][0]]
        print(f'{task}, {name}: {METRICS[task][0]} {main["values"]}, {times[name]:.2f} s per step')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--oscd', type=Path, required=True, help='folder of OSCD')
    parser.add_argument('--tiles', type=Path, required=True, help="folder of TerraMind's tiles")
    parser.add_argument('--tasks', nargs='+', choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/modality_study'))
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    # for custom_imports, here and in the trainings
    paths = [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    work_dir = args.work_dir.resolve()
    data = {task: work_dir / 'data' / file_name(task) for task in CONTENDERS}
    (work_dir / 'data').mkdir(parents=True, exist_ok=True)
    prepare_change(args.oscd, data['change'])
    prepare_land_cover(args.tiles, data['land cover'])
    runs: dict[str, dict[str, list[Run]]] = {}
    for task in args.tasks:
        for name in CONTENDERS[task]:
            config = write_config(task, name, work_dir / 'configs')
            runs.setdefault(task, {})[name] = [
                Run(config, data[task], work_dir / config.stem / str(seed), seed, METRICS[task][0])
                for seed in args.seeds
            ]
        # one seed of every contender before the next seed
        in_turn = [run for group in zip(*runs[task].values(), strict=True) for run in group]
        train_all(in_turn, args.jobs, task)
    record = Record(args.out, 'cpu', append=True)
    for task, of_task in runs.items():
        measure(task, of_task, record)


if __name__ == '__main__':
    main()
