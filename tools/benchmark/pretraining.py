"""What the region pretraining brings on small data: NWPU VHR-10 regions, then AID scenes.

    python tools/benchmark/pretraining.py --nwpu data/nwpu_vhr10 --aid data/aid150 \
        --out benchmarks/results/pretraining_cpu.json

Trains DynamicVis tiny on the regions with cross entropy alone and with MIL-NCE added, then AID's
scenes from that checkpoint and from scratch, with several seeds, one thread per run. What is
finished is not done again, and what was interrupted goes on, when the command is repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import torch
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from record import Record
from tqdm import tqdm

from mmdynamicvis.apis.launch import move_data_root
from mmdynamicvis.engine.selection_statistics import selection_statistics
from mmdynamicvis.models.checkpoint import load_weights

CHECKOUT = Path(__file__).resolve().parents[2]
REGIONS = 'pretraining/{}_dynamicvis-tiny_1xb16-24e_nwpu-192px.py'
SCENES = 'classification/dynamicvis_tiny_1xb32-10e{}_aid150-128px.py'
LOSSES = {'ce': 'cross entropy', 'mil': 'cross entropy + MIL-NCE'}
STARTS = {'': 'from scratch', '-nwpu': 'from NWPU regions'}


@dataclass
class Run:
    """One training."""

    config: Path
    data_root: Path
    folder: Path
    seed: int
    metric: str
    options: tuple[str, ...] = ()

    def train(self) -> None:
        """Train to the end, from where an interrupted run stopped."""
        if self.finished():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, CHECKOUT / 'tools/train.py', self.config, '--resume']
        command += ['--work-dir', self.folder, '--cfg-options', f'data_root={self.data_root}']
        command += [f'randomness.seed={self.seed}', *self.options]
        with (self.folder / 'output.log').open('a') as log:
            environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
            subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)

    def finished(self) -> bool:
        """Return whether the last epoch was validated."""
        return max(self.curve(), default=0) == Config.fromfile(self.config).train_cfg.max_epochs

    def curve(self) -> dict[int, float]:
        """Return the metric after each validated epoch."""
        values = {}
        for file in sorted(self.folder.glob('*/vis_data/scalars.json')):
            for line in file.read_text().splitlines():
                row = json.loads(line)
                if self.metric in row:
                    values[row['step']] = row[self.metric]
        return values

    def checkpoint(self) -> Path:
        """Return the last checkpoint."""
        return Path((self.folder / 'last_checkpoint').read_text())


def region_runs(args: argparse.Namespace, loss: str) -> list[Run]:
    config = CHECKOUT / 'configs' / REGIONS.format(loss)
    return [
        Run(
            config,
            args.nwpu,
            args.work_dir / f'nwpu-{loss}-{seed}',
            seed,
            'region/f1-score',
            (f'train_dataloader.dataset.seed={seed}',),
        )
        for seed in args.seeds
    ]


def scene_runs(args: argparse.Namespace, start: str) -> list[Run]:
    config = CHECKOUT / 'configs' / SCENES.format(start)
    runs = []
    for seed in args.seeds:
        folder = args.work_dir / f'aid{start}-{seed}'
        weights = args.work_dir / f'nwpu-mil-{seed}.safetensors'
        options = (f'model.backbone.init_cfg.checkpoint={weights}',) if start else ()
        runs.append(Run(config, args.aid, folder, seed, 'single-label/f1-score', options))
    return runs


def train_all(runs: list[Run], jobs: int, title: str) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        for _ in tqdm(pool.map(Run.train, runs), total=len(runs), desc=title):
            pass


def export(run: Run, target: Path) -> None:
    command = [sys.executable, CHECKOUT / 'tools/convert_checkpoint.py', run.checkpoint(), target]
    subprocess.run(
        [*command, '--force', '--parts', 'backbone', 'neck', 'roi_extractor'], check=True
    )


@torch.inference_mode()
def selection(run: Run, checkpoint: Path | None) -> dict[str, float]:
    """Return the selection statistics over the validation images; None is before training."""
    cfg = Config.fromfile(run.config)
    cfg = move_data_root(cfg, str(run.data_root))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(run.seed)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor}).eval()
    if checkpoint is None:
        model.init_weights()
    else:
        model.load_state_dict(load_weights(checkpoint))
    totals: dict[str, list[torch.Tensor]] = {}
    for batch in Runner.build_dataloader(cfg.val_dataloader):
        batch = model.data_preprocessor(batch)
        boxes = [sample.gt_instances.bboxes for sample in batch['data_samples']]
        _, selections = model.backbone.forward_with_selection(batch['inputs'])
        for stride, stage in zip((4, 8, 16), selections, strict=False):
            for name, value in selection_statistics(stage, boxes, stride).items():
                totals.setdefault(f'stride{stride}_{name}', []).append(value)
    return {name: torch.stack(values).nanmean().item() for name, values in totals.items()}


def draw(rows: list[dict], path: Path) -> None:
    """Draw F1 over epochs of both losses, and F1 of the scenes by start."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for loss, colour in (('ce', '#7f7f7f'), ('mil', '#0072b2')):
        curves = [row['curve'] for row in rows if row.get('loss') == loss]
        epochs = list(curves[0])
        for curve in curves:
            left.plot(epochs, curve.values(), color=colour, alpha=0.3)
        mean = [sum(curve[epoch] for curve in curves) / len(curves) for epoch in epochs]
        left.plot(epochs, mean, color=colour, linewidth=2.5, label=LOSSES[loss])
    left.set(title='NWPU VHR-10 regions', xlabel='epoch', ylabel='F1 of 130 validation images, %')
    left.legend()
    starts = [[r['curve'] for r in rows if r.get('start') == name] for name in STARTS.values()]
    for (name, curves), colour in zip(
        zip(STARTS.values(), starts, strict=True), ('#7f7f7f', '#0072b2'), strict=True
    ):
        epochs = list(curves[0])
        for curve in curves:
            right.plot(epochs, curve.values(), color=colour, alpha=0.3)
        mean = [sum(curve[epoch] for curve in curves) / len(curves) for epoch in epochs]
        right.plot(epochs, mean, color=colour, linewidth=2.5, label=name)
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
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the figures')
    parser.add_argument('--picture', type=Path, help='PNG file for the curves')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/pretraining_benchmark'))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=2, help='trainings at a time')
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
            before, after = selection(run, None), selection(run, run.checkpoint())
            record.add(loss=loss, seed=run.seed, curve=run.curve(), before=before, after=after)
    for start, runs in scenes.items():
        for run in runs:
            record.add(start=STARTS[start], seed=run.seed, curve=run.curve())
    if args.picture:
        draw(record.rows, args.picture)


if __name__ == '__main__':
    main()
