"""Memory of training a detector on the CPU: does not grow, and falls with checkpointing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

CONFIG = 'configs/instance_segmentation/mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
WARMUP = 20  # steps, in which caches and the allocator's arenas fill
STEPS = 40
GROWTH_MB = 20  # in all of these: half a MB per step, one map of the second level


def resident_mb() -> float:
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmRSS:\s*(\d+) kB', status).group(1)) / 1024


class ResidentMemory(Hook):
    """Notes the resident memory after every step."""

    def __init__(self) -> None:
        self.mb: list[float] = []

    def after_train_iter(self, *args, **kwargs) -> None:
        self.mb.append(resident_mb())


def made_samples(n: int) -> list[dict]:
    """Images of several sizes with one to nine boxes, as pipelines deliver them."""
    from mmdet.testing import demo_mm_inputs

    batch = demo_mm_inputs(
        batch_size=n,
        image_shapes=[(3, 96 + 32 * (i % 2), 96 + 32 * (i % 3)) for i in range(n)],
        with_mask=True,
        use_box_type=True,
    )
    pairs = zip(batch['inputs'], batch['data_samples'], strict=True)
    return [dict(inputs=image, data_samples=sample) for image, sample in pairs]


@pytest.mark.slow
def test_long_runs_do_not_grow(checkout: Path, tmp_path: Path) -> None:
    from mmdet.registry import MODELS
    from mmengine.dataset import pseudo_collate

    torch.manual_seed(0)
    cfg = Config.fromfile(checkout / CONFIG)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor))
    memory = ResidentMemory()
    samples = made_samples(12)
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=DataLoader(samples, 2, shuffle=True, collate_fn=pseudo_collate),
        train_cfg=dict(by_epoch=True, max_epochs=(WARMUP + STEPS) * 2 // len(samples)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-4)),
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[memory],
        default_scope='mmdet',
    )
    runner.train()
    assert len(memory.mb) == WARMUP + STEPS
    # the highest of each part: a step's garbage may not have gone yet
    growth = max(memory.mb[-STEPS // 4 :]) - max(memory.mb[:WARMUP])
    assert growth < GROWTH_MB, memory.mb


@pytest.mark.slow
def test_checkpointing_lowers_the_peak_of_a_step(checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / 'memory.json'
    script = checkout / 'tools/benchmark/detection_memory.py'
    options = ['--config', CONFIG, '--size', '384', '--dtypes', 'float32', '--device', 'cpu']
    done = subprocess.run(
        [sys.executable, str(script), *options, '--out', str(out)],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text())['rows']
    peak = {row['with_cp']: row['peak (MB)'] - row['before the step (MB)'] for row in rows}
    assert 1 < peak[True] < 0.8 * peak[False]
