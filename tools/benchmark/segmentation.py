r"""Compare finished trainings of segmentation or change detection: metrics, time, memory.

    for NAME in upernet_dynamicvis-tiny upernet_resnet18; do
        python tools/train.py configs/segmentation/${NAME}_1xb4-300i_cil-roads-256px.py
    done
    python tools/benchmark/segmentation.py work_dirs/upernet_*_cil-roads-256px \
        --out benchmarks/results/segmentation_cpu.json --curves curves.png --maps maps.png

Trainings on the same data, according to the names of their configs, are compared. Their training
steps on one batch are timed in alternation, with one thread, and the memory of a step is measured
in a separate process. The maps show the results in held-out images: white for true positives, red
for false positives, green for false negatives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from curves import draw_curves
from matplotlib import pyplot as plt
from measure import fresh, medians
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from record import Record
from training_run import Run, step_growth_mb, training_step

from mmdynamicvis.engine.hooks.error_map import error_map

METRICS = ('target/f1', 'target/iou', 'target/precision', 'target/recall')
REPEATS = 9
N_SHOWN = 3
DUMP = '.dump.py'
"""Suffix of the config that a training writes to its folder."""


def read_run(folder: Path) -> Run:
    """Return the training in a folder.

    Raises:
        ValueError: The folder has no training, or one that is not finished.
    """
    dumps = list(folder.glob(f'*{DUMP}'))
    if len(dumps) != 1:
        raise ValueError(f'{folder} holds {len(dumps)} files *{DUMP}; give the folder of one run')
    run = Run(dumps[0], None, folder, 0, METRICS[0])
    if not run.finished():
        raise ValueError(f'{folder}: the training is not finished; repeat it with --resume')
    return run


def compare(data: str, runs: dict[str, Run], record: Record) -> list[dict]:
    """Add a row per backbone: training curves, and time and memory of a step."""
    models, steps = zip(*(training_step(run) for run in runs.values()), strict=True)
    times = medians(dict(zip(runs, steps, strict=True)), REPEATS)
    return [
        record.add(
            data=data,
            backbone=backbone,
            config=run.config.name.removesuffix(DUMP) + '.py',
            parameters=sum(p.numel() for p in model.parameters()),
            batch=Config.fromfile(run.config).train_dataloader.batch_size,
            step_s=times[backbone],
            step_growth_mb=fresh(step_growth_mb, run),
            curves={metric: run.curve(metric) for metric in METRICS},
        )
        for (backbone, run), model in zip(runs.items(), models, strict=True)
    ]


@torch.inference_mode()
def validation_maps(run: Run) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the first validation images, dates side by side, and their error maps."""
    dataset = DATASETS.build(run.load().val_dataloader.dataset)
    model = run.build(run.checkpoint())
    images, maps = [], []
    for i in range(min(N_SHOWN, len(dataset))):
        sample = dataset[i]
        dates = [date.flip(0).permute(1, 2, 0) for date in sample['inputs'].split(3)]
        images.append(torch.cat(dates, 1).numpy())
        (result,) = model.test_step(pseudo_collate([sample]))
        prediction, label = result.pred_sem_seg, result.gt_sem_seg
        maps.append(error_map(prediction.data[0].numpy(), label.data[0].numpy()))
    return images, maps


def draw_maps(runs: dict[str, Run], path: Path) -> None:
    """Draw the first validation images next to the error maps of each run."""
    found = {backbone: validation_maps(run) for backbone, run in runs.items()}
    images, _ = next(iter(found.values()))
    columns = {'': images} | {backbone: maps for backbone, (_, maps) in found.items()}
    widths = [pictures[0].shape[1] for pictures in columns.values()]
    figure, axes = plt.subplots(
        len(images),
        len(columns),
        figsize=(2.5 * sum(widths) / widths[-1], 2.5 * len(images)),
        width_ratios=widths,
        squeeze=False,
        layout='constrained',
    )
    for column, (title, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(title)
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture)
            axis.axis('off')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', type=Path, nargs='+', help='folders of finished trainings')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    parser.add_argument('--curves', type=Path, help='PNG file for the curves')
    parser.add_argument('--maps', type=Path, help='PNG file for the error maps, of one dataset')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    groups: dict[str, dict[str, Run]] = {}
    for run in map(read_run, args.runs):
        _, backbone, _, data = run.config.name.removesuffix(DUMP).split('_', 3)
        groups.setdefault(data, {})[backbone] = run
    record = Record(args.out, 'cpu')
    rows = {data: compare(data, runs, record) for data, runs in groups.items()}
    if args.curves:
        draw_curves(rows, dict.fromkeys(rows, METRICS[0]), 'iteration', args.curves)
    if args.maps:
        draw_maps(next(iter(groups.values())), args.maps)


if __name__ == '__main__':
    main()
