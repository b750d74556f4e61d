"""Memory of long trainings."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

CONFIG = 'configs/instance_segmentation/mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
WARMUP = 20  # steps, in which caches fill
STEPS = 40
GROWTH_MB = 20  # in all of these: half a MB per step, one map of the second level


def resident_mb() -> float:
    """Return the memory of this process without what glibc's allocator keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmRSS:\s*(\d+) kB', status).group(1)) / 1024


class Memory(Hook):
    """Notes resident memory and living tensors after every step."""

    def __init__(self) -> None:
        self.mb: list[float] = []
        self.tensors: list[int] = []

    def after_train_iter(self, *args, **kwargs) -> None:
        gc.collect()
        self.mb.append(resident_mb())
        self.tensors.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))


def made_samples(n: int) -> list[dict]:
    """Images of several sizes with one to nine boxes, as pipelines deliver them."""
    batch = demo_mm_inputs(
        batch_size=n,
        image_shapes=[(3, 96 + 32 * (i % 2), 96 + 32 * (i % 3)) for i in range(n)],
        with_mask=True,
        use_box_type=True,
    )
    pairs = zip(batch['inputs'], batch['data_samples'], strict=True)
    return [dict(inputs=image, data_samples=sample) for image, sample in pairs]


@pytest.mark.exhaustive
def test_long_runs_do_not_grow(checkout: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    cfg = Config.fromfile(checkout / CONFIG)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor))
    memory = Memory()
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
    assert memory.mb[-1] - memory.mb[WARMUP] < GROWTH_MB, memory.mb
    assert memory.tensors[-1] == memory.tensors[WARMUP]
