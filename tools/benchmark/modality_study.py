r"""Train DynamicVis on several modalities, with parts of it on and off.

    python tools/benchmark/modality_study.py --oscd data/oscd \
        --out benchmarks/results/modality_study_cpu.json

The task is change in Rennes (OSCD) from the 13 bands of Sentinel-2, trained on the western 3.4 km
and evaluated on the next 1.9 km to the east. The bands are modalities of 10, 20 and 60 m. Compared
with that are: all stages merge patches, whatever the resolution; all bands resampled to 10 m, one
modality; four prompt tokens per modality; dropout of modalities in training; and eight experts.
Evaluated are all bands, and all but those of each resolution.

All runs have a small network, 150 steps of 4 windows, equal learning rates and one thread. Means
are reported with 95% intervals of Student's t over the seeds. Training steps of the contenders on
one batch are timed in alternation. When the command is repeated, finished runs are not repeated and
interrupted ones continue.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from change_runs import average_precision, measure, study_parser, summary, train_seeds
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from record import Record
from training_run import CHECKOUT, Run

CHANGE = CHECKOUT / (
    'configs/change_detection/siamese_multimodal-dynamicvis-tiny_1xb4-300i_oscd-resolutions-96px.py'
)
CITY = 'rennes'
"""The city with georeferenced files of all bands at both dates."""
WEST = 336
"""First column of the evaluated part of the city, in pixels of 10 m."""
SIZE = 96
STACK = 's2_13_bands'
STEPS = 150
WIDTHS = (32, 48, 64, 96)
"""Channels of the stages; each has one unit."""


def prepare(source: Path, target: Path) -> None:
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


def base_config() -> Config:
    """Return the config of the city, with a small network."""
    cfg = Config.fromfile(CHANGE)
    cfg.model.backbone.arch = dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1))
    cfg.model.modality_neck.in_channels = WIDTHS
    cfg.model.neck.fpn.in_channels = list(WIDTHS)
    cfg.train_cfg.update(max_iters=STEPS, val_interval=STEPS // 3)
    cfg.optim_wrapper.optimizer.lr = 2e-3
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


def with_prompts(cfg: Config) -> None:
    """Add four prompt tokens per modality, in place."""
    cfg.model.backbone.prompts = 4


def with_dropout(cfg: Config) -> None:
    """Drop modalities in training, in place."""
    cfg.model.modality_neck.drop = 0.3


def with_experts(cfg: Config) -> None:
    """Add eight experts after the units of the last stage, in place."""
    cfg.model.backbone.experts = dict(num=8, top_k=1)


def unchanged(cfg: Config) -> None:
    """Change nothing."""


CONTENDERS: dict[str, Callable[[Config], None]] = {
    'own resolutions': unchanged,
    'all stages merge': all_merge,
    'resampled to 10 m': stacked,
    'with prompts': with_prompts,
    'with modality dropout': with_dropout,
    'with experts': with_experts,
}


def config_of(name: str) -> Config:
    """Return the config of a contender."""
    cfg = base_config()
    CONTENDERS[name](cfg)
    return cfg


def values_per_sample(run: Run) -> int:
    """Return the number of pixels times bands that a training sample has."""
    dataset = DATASETS.build(run.load().train_dataloader.dataset)
    sample = pseudo_collate([dataset[0]])['inputs'][0]
    return sum(date.numel() for dates in sample.images.values() for date in dates)


def add_rows(runs: dict[str, list[Run]], record: Record) -> None:
    """Add a row per contender."""
    for name, row in measure(runs).items():
        group = runs[name]
        row['average precision in training'] = summary(
            [average_precision(run, 'train_dataloader') for run in group]
        )
        modalities = group[0].load().model.modality_neck.modalities
        if len(modalities) > 1:
            row['average precision without'] = {
                modality: summary(
                    [
                        average_precision(run, 'val_dataloader', partial(remove, modality))
                        for run in group
                    ]
                )
                for modality in modalities
            }
        record.add(**row, values_per_sample=values_per_sample(group[0]))


def remove(modality: str, sample: dict) -> None:
    """Remove a modality from a sample, in place."""
    del sample['inputs'].images[modality]


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__, list(CONTENDERS), 'work_dirs/modality_study')
    parser.add_argument('--oscd', type=Path, required=True, help='folder of OSCD')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    prepare(args.oscd, work_dir / 'data')
    configs = {name: config_of(name) for name in args.contenders}
    runs = train_seeds(configs, work_dir / 'data', work_dir, args.seeds, args.jobs)
    add_rows(runs, Record(args.out, 'cpu'))


if __name__ == '__main__':
    main()
