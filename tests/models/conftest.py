"""A backbone small enough for hundreds of tests, and a real Runner that trains it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdynamicvis import DynamicVis

TOY = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))


def build_toy(seed: int = 0, **arguments) -> DynamicVis:
    torch.manual_seed(seed)
    model = DynamicVis(**{'arch': TOY, 'img_size': 64, **arguments})
    if model.pos_embed is not None:
        nn.init.normal_(model.pos_embed, std=0.2)  # zero in a new model, which would hide it
    return model


@pytest.fixture(scope='session')
def build() -> Callable[..., DynamicVis]:
    """Build a small backbone for 64 x 64 pixels; same seed, same weights."""
    return build_toy


@pytest.fixture(scope='session')
def make_images() -> Callable[..., Tensor]:
    """Make normalized images (B, C, H, W)."""

    def make_images(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    return make_images


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What mmengine's current logger says: it does not pass records on to the root logger."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


class Scenes(Dataset):
    """Bright images are of class 1, dark ones of class 0."""

    metainfo = {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        label = index % 2
        return {'inputs': torch.randn(3, 32, 32, generator=generator) + label, 'labels': label}


class Classifier(BaseModel):
    """The backbone as a user nests it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(48, 2)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str) -> dict | list:
        scores = self.fc(self.backbone(inputs)[-1].mean((2, 3)))
        if mode == 'loss':
            return {'loss': nn.functional.cross_entropy(scores, labels)}
        return (scores.argmax(1) == labels).tolist()


class Accuracy(BaseMetric):
    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict:
        return {'accuracy': sum(results) / len(results)}


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Runner]:
    """Train a model for some epochs or iterations (4 of these make an epoch), then return."""

    def train(model: nn.Module, **train_cfg) -> Runner:
        def loader(shuffle: bool) -> dict:
            sampler = dict(type=DefaultSampler, shuffle=shuffle)
            return dict(
                batch_size=2,
                dataset=Scenes(),
                sampler=sampler,
                collate_fn=dict(type='default_collate'),
                num_workers=0,
            )

        runner = Runner(
            model=Classifier(model),
            work_dir=str(tmp_path / 'work_dir'),
            train_dataloader=loader(shuffle=True),
            val_dataloader=loader(shuffle=False),
            train_cfg=train_cfg,
            val_cfg={},
            val_evaluator=Evaluator(Accuracy(prefix='toy')),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
            randomness=dict(seed=0),
            experiment_name=tmp_path.name,
            log_level='WARNING',
        )
        runner.train()
        return runner

    return train
