r"""Train scene classifiers from scratch, with several seeds each, and compare them.

    python tools/benchmark/classification.py aid150 --data-root data/aid150 --seeds 0 1 2 \
        --work-dir work_dirs/study --out benchmarks/results/classification_cpu.json \
        --curves docs/images/classification_curves.png

Every contender trains with its own config, with the settings that were best on a part of the
training images (configs/classification/README.md). An interrupted run continues, and a finished one
is not repeated, so runs with other ``--epochs`` or ``--lr`` need a work directory of their own.
Means are reported with 95% intervals of Student's t over the seeds. Training steps of the
contenders on one batch are timed in alternation. Each training uses one thread.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curves import draw_seeds
from matplotlib import pyplot as plt
from measure import interval, medians
from mmengine.registry import DATASETS
from record import Record
from training_run import CHECKOUT, Run, train_all, training_step

METRIC = 'accuracy/top1'
REPEATS = 9
CONFIGS = CHECKOUT / 'configs/classification'
CONFIG_OF = {
    'aid150': {
        'dynamicvis': 'dynamicvis_tiny_1xb32-10e_aid150-128px.py',
        'resnet18': 'resnet18_1xb32-10e_aid150-128px.py',
        'vit': 'vit-tiny_1xb32-10e_aid150-128px.py',
    },
    'eurosat': {
        'dynamicvis': 'dynamicvis_tiny_1xb64-60e_eurosat-64px.py',
        'resnet18': 'resnet18_1xb64-10e_eurosat-64px.py',
    },
}
"""Dataset -> model -> config."""


@dataclass(frozen=True)
class Contender:
    """A model to compare: which config, and the settings that differ from it."""

    model: str = 'dynamicvis'
    options: dict[str, Any] = field(default_factory=dict)


CONTENDERS = {
    'dynamicvis-tiny': Contender(),
    'no selection': Contender(options={'model.backbone.reduction_ratios': None}),
    'published': Contender(
        options={'model.backbone.published': True, 'optim_wrapper.optimizer.lr': 1e-3}
    ),
    'resnet18': Contender('resnet18'),
    'vit-tiny': Contender('vit'),
    # the CPU time of ResNet-18's 10 epochs
    'dynamicvis-tiny, equal time': Contender(options={'train_cfg.max_epochs': 24}),
}


def compare(data: str, runs: dict[str, list[Run]], record: Record) -> list[dict[str, Any]]:
    """Add a row per contender."""
    models, steps = zip(*(training_step(group[0]) for group in runs.values()), strict=True)
    times = medians(dict(zip(runs, steps, strict=True)), REPEATS)
    rows = []
    for (name, group), model in zip(runs.items(), models, strict=True):
        curves = [run.curve() for run in group]
        final = [curve[max(curve)] for curve in curves]
        cfg = group[0].load()
        loader = cfg.train_dataloader
        n_images = len(DATASETS.build(loader.dataset))
        row = record.add(
            data=data,
            contender=name,
            seeds=[run.seed for run in group],
            epochs=max(curves[0]),
            steps_per_epoch=math.ceil(n_images / loader.batch_size),
            learning_rate=cfg.optim_wrapper.optimizer.lr,
            parameters=sum(p.numel() for p in model.parameters()),
            accuracy=final,
            mean=float(np.mean(final)),
            interval=interval(final),
            step_s=times[name],
            curves=curves,
        )
        rows.append(row)
        spread = '(one seed)' if row['interval'] is None else f'+- {row["interval"]:.1f}'
        print(
            f'{name:30} {row["mean"]:.1f} % {spread} after {row["epochs"]} epochs, '
            f'{row["parameters"] / 1e6:.2f} M parameters, {row["step_s"]:.3f} s per step'
        )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot accuracy over the time of the training steps."""
    figure, axis = plt.subplots(figsize=(7, 5), layout='constrained')
    for row in rows:
        epoch_s = row['step_s'] * row['steps_per_epoch']
        draw_seeds(axis, row['curves'], row['contender'], scale=epoch_s)
    axis.set(
        title=rows[0]['data'],
        xlabel='seconds of training steps, one thread',
        ylabel='accuracy, %',
    )
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', choices=CONFIG_OF, help='dataset')
    parser.add_argument('--data-root', type=Path, required=True, help='folder of the dataset')
    parser.add_argument('--contenders', nargs='+', choices=CONTENDERS, help='default: all')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, help='default: those of the contenders')
    parser.add_argument('--lr', type=float, help='default: those of the contenders')
    parser.add_argument('--work-dir', type=Path, required=True, help='folder for the trainings')
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    parser.add_argument('--curves', type=Path, help='PNG file for the curves')
    args = parser.parse_args()
    configs = CONFIG_OF[args.data]
    if args.contenders is None:
        args.contenders = [name for name, it in CONTENDERS.items() if it.model in configs]
    for name in args.contenders:
        if CONTENDERS[name].model not in configs:
            parser.error(f'{name} has no config for {args.data}')
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    runs: dict[str, list[Run]] = {}
    given = {'train_cfg.max_epochs': args.epochs, 'optim_wrapper.optimizer.lr': args.lr}
    given = {name: value for name, value in given.items() if value is not None}
    for name in args.contenders:
        contender = CONTENDERS[name]
        config = CONFIGS / CONFIG_OF[args.data][contender.model]
        for seed in args.seeds:
            folder = args.work_dir / args.data / name.replace(' ', '_').replace(',', '') / str(seed)
            options = {'train_dataloader.num_workers': 1, **contender.options, **given}
            run = Run(config, args.data_root.resolve(), folder, seed, METRIC, options)
            runs.setdefault(name, []).append(run)
    # one seed of every contender before the next seed, so that interrupted runs are comparable
    in_turn = [run for group in zip(*runs.values(), strict=True) for run in group]
    train_all(in_turn, args.jobs, args.data)
    rows = compare(args.data, runs, Record(args.out, 'cpu'))
    if args.curves:
        draw(rows, args.curves)


if __name__ == '__main__':
    main()
