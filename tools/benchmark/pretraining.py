r"""Measure the benefit of region pretraining on small data: NWPU VHR-10 regions, then AID scenes.

    python tools/benchmark/pretraining.py --nwpu data/nwpu_vhr10 --aid data/aid150 \
        --out benchmarks/results/pretraining_cpu.json

Trains DynamicVis tiny on the regions with cross entropy alone and with added MIL-NCE, then on AID's
scenes from that checkpoint and from scratch, with several seeds and one thread per run. Results are
saved after each seed, and results of other parts and seeds stay in the file. When the command is
repeated, finished runs are not repeated and interrupted ones continue.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from curves import draw_seeds
from matplotlib import pyplot as plt
from record import Record
from training_run import CHECKOUT, Run, selection, train_all

REGIONS = 'pretraining/{}_dynamicvis-tiny_1xb16-24e_nwpu-192px.py'
SCENES = 'classification/dynamicvis_tiny_1xb32-10e{}_aid150-128px.py'
LOSSES = {'ce': 'cross entropy', 'mil': 'cross entropy + MIL-NCE'}
STARTS = {'scratch': 'from scratch', 'transfer': 'from NWPU regions'}
PARTS = ('mil', 'transfer', 'scratch', 'ce')
"""What to train: regions with either loss, and scenes from either start."""


def run_of(part: str, seed: int, args: argparse.Namespace) -> Run:
    """Return the training of a part with a seed."""
    folder = args.work_dir / f'{part}-{seed}'
    if part in LOSSES:
        config = CHECKOUT / 'configs' / REGIONS.format(part)
        options = {'train_dataloader.dataset.seed': seed}
        return Run(config, args.nwpu, folder, seed, 'region/f1-score', options)
    options = {'train_dataloader.num_workers': 1}
    if part == 'transfer':
        weights = args.work_dir / f'mil-{seed}.safetensors'
        export(run_of('mil', seed, args), weights)
        options['model.backbone.init_cfg.checkpoint'] = weights
    config = CHECKOUT / 'configs' / SCENES.format('-nwpu' if part == 'transfer' else '')
    return Run(config, args.aid, folder, seed, 'accuracy/top1', options)


def export(run: Run, target: Path) -> None:
    command = [sys.executable, CHECKOUT / 'tools/convert_checkpoint.py', run.checkpoint(), target]
    subprocess.run(
        [*command, '--force', '--parts', 'backbone', 'neck', 'roi_extractor'], check=True
    )


def add_row(part: str, run: Run, record: Record) -> None:
    """Add the result of a training, in place of an earlier one of the same part and seed."""
    about = dict(part=part, seed=run.seed)
    for row in [row for row in record.rows if about.items() <= row.items()]:
        record.drop(row)
    looks = {}
    if part in LOSSES:
        weights = {'before': None, 'after': run.checkpoint()}
        looks = {when: selection(run, checkpoint) for when, checkpoint in weights.items()}
    # as in a file that is read again
    curve = {str(step): value for step, value in run.curve().items()}
    record.add(**about, curve=curve, **looks)


def draw(rows: list[dict], path: Path) -> None:
    """Plot F1 of regions over epochs for both losses, and accuracy of scenes for both starts."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for axis, labels in zip(axes, (LOSSES, STARTS), strict=True):
        for (part, label), color in zip(labels.items(), ('#7f7f7f', '#0072b2'), strict=True):
            curves = [
                {int(step): value for step, value in row['curve'].items()}
                for row in rows
                if row['part'] == part
            ]
            if curves:
                draw_seeds(axis, curves, label, color)
        axis.set_xlabel('epoch')
        axis.legend()
    axes[0].set(title='NWPU VHR-10 regions', ylabel='F1 of 130 validation images, %')
    axes[1].set(title='AID150 scenes', ylabel='accuracy of 600 validation images, %')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--nwpu', type=Path, required=True, help='folder of NWPU VHR-10')
    parser.add_argument('--aid', type=Path, required=True, help='folder of AID150')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    parser.add_argument('--picture', type=Path, help='PNG file for the curves')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/pretraining_benchmark'))
    parser.add_argument(
        '--parts', nargs='+', default=list(PARTS), choices=PARTS, help='transfer needs mil'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.nwpu, args.aid, args.work_dir = (
        path.resolve() for path in (args.nwpu, args.aid, args.work_dir)
    )
    record = Record(args.out, 'cpu', append=True)
    for seed in args.seeds:
        # the transfer starts from weights of the others
        for parts in ([p for p in args.parts if p != 'transfer'], ['transfer']):
            runs = {part: run_of(part, seed, args) for part in parts if part in args.parts}
            train_all(list(runs.values()), args.jobs, f'seed {seed}')
            for part, run in runs.items():
                add_row(part, run, record)
    if args.picture:
        draw(record.rows, args.picture)


if __name__ == '__main__':
    main()
