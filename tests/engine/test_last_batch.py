"""A last batch of one image, under a batch norm that has one value per image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from mmdynamicvis.engine.launch import build_runner


class Pooled(BaseModel):
    """A batch norm behind a pooling to 1 x 1, as in UPerNet, or before it."""

    def __init__(self, pool_first: bool, num_classes: int = 2) -> None:
        super().__init__()
        parts = [nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)]
        self.layers = nn.Sequential(*(parts if pool_first else parts[::-1]))
        self.head = nn.Flatten()
        self.head.num_classes = num_classes
        self.batches = []

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> dict[str, Tensor]:
        self.batches.append(len(inputs))
        return dict(loss=self.head(self.layers(inputs)).sum())


class Images(Dataset):
    metainfo = dict(classes=('ship', 'plane'))

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(inputs=torch.rand(3, 8, 8))


class Stream(IterableDataset):
    metainfo = Images.metainfo

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (dict(inputs=torch.rand(3, 8, 8)) for _ in range(self.count))


@pytest.fixture(autouse=True)
def registered() -> Any:
    MODELS.register_module(module=Pooled)
    DATASETS.register_module(module=Images)
    DATASETS.register_module(module=Stream)
    yield
    MODELS.module_dict.pop('Pooled')
    DATASETS.module_dict.pop('Images')
    DATASETS.module_dict.pop('Stream')


def run(
    work_dir: Path,
    count: int,
    *,
    train_cfg: dict | None = None,
    model: dict | None = None,
    **loader,
) -> list[int]:
    """Train; return the sizes of the batches that the model saw."""
    cfg = Config(
        dict(
            model=dict(dict(type='Pooled', pool_first=True), **(model or {})),
            train_dataloader=dict(
                dict(
                    dataset=dict(type='Images', count=count),
                    batch_size=4,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    collate_fn=dict(type='default_collate'),
                ),
                **loader,
            ),
            train_cfg=train_cfg or dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=None),
            work_dir=str(work_dir),
            launcher='none',
            log_level='ERROR',
        )
    )
    runner = build_runner(cfg)
    try:
        runner.train()
    finally:
        run.batches = runner.model.batches
    return runner.model.batches


BY_ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=6)


@pytest.mark.parametrize(
    'options',
    [dict(count=9), dict(count=9, train_cfg=BY_ITERATIONS), dict(count=1), dict(count=5)],
)
def test_it_is_refused_in_the_first_step(tmp_path: Path, options: dict) -> None:
    message = (
        r'last batch of an epoch has 1 image \({count} images in batches of 4\), .* layers\.1 '
    )
    with pytest.raises(ValueError, match=message.format(**options) + r'.*drop_last=True'):
        run(tmp_path, **options)
    assert len(run.batches) == 1


def test_a_batch_size_of_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'train_dataloader\.batch_size is 1, .* of 2 or more'):
        run(tmp_path, 3, batch_size=1)


@pytest.mark.parametrize(
    ('options', 'batches'),
    [
        (dict(count=9, drop_last=True), [4, 4]),
        (dict(count=10), [4, 4, 2]),
        (dict(count=9, model=dict(pool_first=False)), [4, 4, 1]),
        (dict(count=3, model=dict(pool_first=False), batch_size=1), [1, 1, 1]),
        (
            dict(
                count=9,
                train_cfg=dict(BY_ITERATIONS, max_iters=4),
                sampler=dict(type='InfiniteSampler', shuffle=False),
            ),
            [4, 4, 4, 4],
        ),
    ],
)
def test_other_trainings_go_on(tmp_path: Path, options: dict, batches: list[int]) -> None:
    assert run(tmp_path, **options) == batches


@pytest.mark.parametrize('train_cfg', [None, BY_ITERATIONS])
def test_streams(tmp_path: Path, train_cfg: dict | None) -> None:
    options = dict(train_cfg=train_cfg, sampler=None, dataset=dict(type='Stream', count=9))
    message = r'last batch of an epoch has 1 image \(9 images in batches of 4\)'
    with pytest.raises(ValueError, match=message):
        run(tmp_path, 9, **options)
    assert len(run.batches) == 1
    options['dataset'] = dict(type='Stream', count=10)
    assert run(tmp_path, 10, **options)[:3] == [4, 4, 2]


def test_the_number_of_classes_is_checked_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'model\.head has num_classes=3, and Images of train_'):
        run(tmp_path, 8, model=dict(num_classes=3))
    assert not run.batches
