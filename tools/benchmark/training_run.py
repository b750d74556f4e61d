"""Resumable trainings for the benchmarks, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measure import growth_mb
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn
from tqdm import tqdm

from mmdynamicvis.engine.hooks.selection_statistics import corners, selection_statistics
from mmdynamicvis.engine.launch import move_data_root
from mmdynamicvis.models.weights import load_weights

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """A training; without ``data_root``, the paths of the config are used."""

    config: Path
    data_root: Path | None
    folder: Path
    seed: int
    metric: str
    options: dict[str, Any] = field(default_factory=dict)
    """Dotted names of settings of the config -> values that replace them."""

    def train(self) -> None:
        """Train to the end, resuming an interrupted run."""
        if self.finished():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, CHECKOUT / 'tools/train.py', self.config, '--resume']
        command += ['--work-dir', self.folder, '--cfg-options', f'data_root={self.data_root}']
        options = {'randomness.seed': self.seed, **self.options}
        command += [f'{name}={value}' for name, value in options.items()]
        with (self.folder / 'output.log').open('a') as log:
            environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
            subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)

    def finished(self) -> bool:
        """Return whether the last epoch (or iteration) was validated."""
        cfg = Config.fromfile(self.config)
        cfg.merge_from_dict(self.options)
        length = cfg.train_cfg
        last = length.max_epochs if 'max_epochs' in length else length.max_iters
        return max(self.curve(), default=0) == last

    def curve(self, metric: str | None = None) -> dict[int, float]:
        """Return validated epoch (or iteration) -> value of a metric, by default the run's own."""
        metric = metric or self.metric
        values = {}
        for file in sorted(self.folder.glob('*/vis_data/scalars.json')):
            for line in file.read_text().splitlines():
                row = json.loads(line)
                if metric in row:
                    values[row['step']] = row[metric]
        return values

    def checkpoint(self) -> Path:
        """Return the path of the last checkpoint."""
        return Path((self.folder / 'last_checkpoint').read_text())

    def load(self) -> Config:
        """Return the config with options and data root applied; make its scope the default."""
        cfg = Config.fromfile(self.config)
        cfg.merge_from_dict(self.options)
        if self.data_root is not None:
            cfg = move_data_root(cfg, str(self.data_root))
        init_default_scope(cfg.default_scope)
        return cfg

    def build(self, checkpoint: Path | None) -> nn.Module:
        """Return the model in eval mode, with initial weights or those of a checkpoint."""
        cfg = self.load()
        torch.manual_seed(self.seed)
        model = MODELS.build({'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model})
        if checkpoint is None:
            model.init_weights()
        else:
            model.load_state_dict(load_weights(checkpoint))
        return model.eval()


def train_all(runs: list[Run], jobs: int, title: str) -> None:
    """Train all runs, ``jobs`` of them in parallel."""
    with ThreadPoolExecutor(jobs) as pool:
        for _ in tqdm(pool.map(Run.train, runs), total=len(runs), desc=title):
            pass


def validation_samples(cfg: Config) -> list[dict]:
    """Return the validation samples with boxes in pixels of the model's input.

    In a test pipeline, detectors load boxes after resizing, in pixels of the file. So the samples
    go through the training pipeline without its random transforms.
    """
    dataset = cfg.val_dataloader.dataset.copy()
    if cfg.model.type != 'mmdynamicvis.MILPretrainer':
        transforms = cfg.train_dataloader.dataset.pipeline
        dataset.pipeline = [t for t in transforms if 'Random' not in t.type]
        dataset.test_mode = False  # boxes are part of the sample
        dataset.filter_cfg = None
    dataset = DATASETS.build(dataset)
    return [dataset[i] for i in range(len(dataset))]


def training_step(run: Run) -> tuple[torch.nn.Module, Callable[[], object]]:
    """Return the untrained model, and a function for a training step on the first images."""
    cfg = run.load()
    model = run.build(None).train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    batch = pseudo_collate([dataset[i] for i in range(cfg.train_dataloader.batch_size)])
    return model, lambda: model.train_step(batch, optim_wrapper)


def step_growth_mb(run: Run) -> float:
    """Return the growth of memory in MB in the first step; to be called in a new process."""
    torch.set_num_threads(1)
    return growth_mb(training_step(run)[1], 'cpu')


@torch.inference_mode()
def selection(run: Run, checkpoint: Path | None) -> dict[str, float]:
    """Return the mean selection statistics of the validation images.

    Args:
        run: The training.
        checkpoint: Weights; None means the initial weights.
    """
    model = run.build(checkpoint)
    samples = validation_samples(run.load())
    totals: dict[str, list[torch.Tensor]] = {}
    for start in tqdm(range(0, len(samples), 8), desc='where it looks'):
        batch = model.data_preprocessor(pseudo_collate(samples[start : start + 8]))
        boxes = [corners(sample.gt_instances.bboxes) for sample in batch['data_samples']]
        _, selections = model.backbone.forward_with_selection(batch['inputs'])
        for stride, stage in zip((4, 8, 16), selections, strict=False):
            for name, value in selection_statistics(stage, boxes, stride).items():
                totals.setdefault(f'stride{stride}_{name}', []).append(value)
    return {name: torch.stack(values).nanmean().item() for name, values in totals.items()}
