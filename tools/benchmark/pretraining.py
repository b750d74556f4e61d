r"""Measure the benefit of region pretraining on small data: NWPU VHR-10 regions, then AID scenes.

    python tools/benchmark/pretraining.py --nwpu data/nwpu_vhr10 --aid data/aid150 \
        --out benchmarks/results/pretraining_cpu.json

Trains DynamicVis tiny on the regions with cross entropy alone and with added MIL-NCE, then on AID's
scenes from that checkpoint and from scratch, with several seeds and one thread per run. When the
command is repeated, finished runs are not repeated and interrupted ones continue.
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
STARTS = {'': 'from scratch', '-nwpu': 'from NWPU regions'}


def region_runs(args: argparse.Namespace, loss: str) -> list[Run]:
    config = CHECKOUT / 'configs' / REGIONS.format(loss)
    return [
        Run(
            config,
            args.nwpu,
            args.work_dir / f'nwpu-{loss}-{seed}',
            seed,
            'region/f1-score',
            {'train_dataloader.dataset.seed': seed},
        )
        for seed in args.seeds
    ]


def scene_runs(args: argparse.Namespace, start: str) -> list[Run]:
    config = CHECKOUT / 'configs' / SCENES.format(start)
    runs = []
    for seed in args.seeds:
        folder = args.work_dir / f'aid{start}-{seed}'
        weights = args.work_dir / f'nwpu-mil-{seed}.safetensors'
        options = {'model.backbone.init_cfg.checkpoint': weights} if start else {}
        runs.append(Run(config, args.aid, folder, seed, 'single-label/f1-score', options))
    return runs


def export(run: Run, target: Path) -> None:
    command = [sys.executable, CHECKOUT / 'tools/convert_checkpoint.py', run.checkpoint(), target]
    subprocess.run(
        [*command, '--force', '--parts', 'backbone', 'neck', 'roi_extractor'], check=True
    )


def draw(rows: list[dict], path: Path) -> None:
    """Plot F1 of regions over epochs for both losses, and F1 of scenes for both starts."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for loss, color in (('ce', '#7f7f7f'), ('mil', '#0072b2')):
        curves = [row['curve'] for row in rows if row.get('loss') == loss]
        draw_seeds(left, curves, LOSSES[loss], color)
    left.set(title='NWPU VHR-10 regions', xlabel='epoch', ylabel='F1 of 130 validation images, %')
    left.legend()
    for name, color in zip(STARTS.values(), ('#7f7f7f', '#0072b2'), strict=True):
        curves = [row['curve'] for row in rows if row.get('start') == name]
        draw_seeds(right, curves, name, color)
    right.set(title='AID150 scenes', xlabel='epoch', ylabel='F1 of 600 validation images, %')
    right.legend()
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
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.nwpu, args.aid, args.work_dir = (
        path.resolve() for path in (args.nwpu, args.aid, args.work_dir)
    )
    regions = {loss: region_runs(args, loss) for loss in ('mil', 'ce')}
    train_all(
        [run for seed in zip(*regions.values(), strict=True) for run in seed], args.jobs, 'regions'
    )
    for run in regions['mil']:
        export(run, args.work_dir / f'{run.folder.name}.safetensors')
    scenes = {start: scene_runs(args, start) for start in STARTS}
    train_all(
        [run for seed in zip(*scenes.values(), strict=True) for run in seed], args.jobs, 'scenes'
    )

    record = Record(args.out, 'cpu')
    for loss, runs in regions.items():
        for run in runs:
            before, after = (selection(run, weights) for weights in (None, run.checkpoint()))
            record.add(loss=loss, seed=run.seed, curve=run.curve(), before=before, after=after)
    for start, runs in scenes.items():
        for run in runs:
            record.add(start=STARTS[start], seed=run.seed, curve=run.curve())
    if args.picture:
        draw(record.rows, args.picture)


if __name__ == '__main__':
    main()
