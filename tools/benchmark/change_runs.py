"""Change detectors trained with several seeds: their runs and their average precision."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import interval, medians
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torchmetrics.functional.classification import binary_average_precision
from training_run import Run, train_all, training_step

METRICS = ('target/f1', 'target/iou')
REPEATS = 9


def study_parser(description: str, contenders: Sequence[str], work_dir: str) -> ArgumentParser:
    """Return a parser with the options of a study: contenders, seeds, folders and jobs.

    Args:
        description: Description of the command.
        contenders: Names of all contenders.
        work_dir: Folder of the trainings by default.
    """
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('--contenders', nargs='+', choices=contenders, default=list(contenders))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path(work_dir))
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    return parser


def train_seeds(
    configs: Mapping[str, Config],
    data_root: Path,
    work_dir: Path,
    seeds: Sequence[int],
    jobs: int,
) -> dict[str, list[Run]]:
    """Return name -> finished runs with each seed; those that were finished are not repeated."""
    runs: dict[str, list[Run]] = {}
    (work_dir / 'configs').mkdir(parents=True, exist_ok=True)
    for name, cfg in configs.items():
        path = work_dir / 'configs' / f'{name.replace(" ", "-")}.py'
        cfg.dump(path)
        runs[name] = [
            Run(path, data_root, work_dir / path.stem / str(seed), seed, METRICS[0])
            for seed in seeds
        ]
    # one seed of every contender before the next seed, so that interrupted runs are comparable
    in_turn = [run for group in zip(*runs.values(), strict=True) for run in group]
    train_all(in_turn, jobs, 'change')
    return runs


@torch.inference_mode()
def average_precision(
    run: Run, loader: str, change: Callable[[dict], None] = lambda sample: None
) -> float:
    """Return the average precision of change over the pixels of a dataset of the config, in %.

    Args:
        run: A finished run.
        loader: Name of the dataloader with the dataset.
        change: Changes a sample in place before the model gets it.
    """
    dataset = DATASETS.build(run.load()[loader].dataset)
    model = run.build(run.checkpoint())
    scores, labels = [], []
    for i in range(len(dataset)):
        sample = dataset[i]
        change(sample)
        (result,) = model.test_step(pseudo_collate([sample]))
        scores.append(result.seg_logits.data.softmax(0)[1].flatten())
        labels.append(result.gt_sem_seg.data.flatten())
    found = binary_average_precision(torch.cat(scores), torch.cat(labels))
    return 100 * found.item()


def summary(values: list[float]) -> dict[str, Any]:
    """Return values of several seeds, their mean and its interval."""
    return dict(values=values, mean=float(np.mean(values)), interval=interval(values))


def measure(runs: Mapping[str, list[Run]]) -> dict[str, dict[str, Any]]:
    """Return name -> metrics, average precision in held-out data, parameters and time of a step."""
    models, steps = zip(*(training_step(group[0]) for group in runs.values()), strict=True)
    times = medians(dict(zip(runs, steps, strict=True)), REPEATS)
    rows = {}
    for (name, group), model in zip(runs.items(), models, strict=True):
        row: dict[str, Any] = dict(contender=name, seeds=[run.seed for run in group])
        for metric in METRICS:
            curves = [run.curve(metric) for run in group]
            # a ratio without any prediction of change is not defined
            row[metric] = summary([float(np.nan_to_num(curve[max(curve)])) for curve in curves])
        found = [average_precision(run, 'val_dataloader') for run in group]
        row['average precision'] = summary(found)
        row['parameters'] = sum(p.numel() for p in model.parameters())
        row['step_s'] = times[name]
        print(f'{name}: average precision {found}, {times[name]:.2f} s per step')
        rows[name] = row
    return rows
