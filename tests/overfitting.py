"""Train a model on a few images until it knows them by heart: targets, scales and flips fit."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

WARMUP = 20  # steps


def overfit(
    cfg: Config, dataset: dict, evaluator: dict, work_dir: Path, *, steps: int, lr: float
) -> dict[str, float]:
    """Train through a real Runner, and return what the evaluator says about the same images.

    For the arguments see :func:`train`.
    """
    return train(cfg, dataset, evaluator, work_dir, steps=steps, lr=lr).val()


def train(
    cfg: Config, dataset: dict, evaluator: dict, work_dir: Path, *, steps: int, lr: float
) -> Runner:
    """Train through a real Runner, and return it.

    Data go through the config's own pipelines, so that flips and the like take part. The learning
    rate falls to zero at the last step.

    Args:
        cfg: A config whose model fits the images; it is not changed.
        dataset: Where the images and annotations are, e.g. ``data_root`` and ``ann_file``; goes
            into the dataset of training and of validation.
        evaluator: Goes into the config's evaluator in the same way.
        work_dir: Folder for the log.
        steps: Number of training steps, more than 20.
        lr: Highest learning rate.
    """
    cfg = copy.deepcopy(cfg)
    in_process = dict(num_workers=0, persistent_workers=False)
    train = dict(
        in_process,
        dataset=dataset,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        batch_sampler=None,
    )
    options = dict(
        train_dataloader=train,
        val_dataloader=dict(in_process, dataset=dataset),
        val_evaluator=evaluator,
        optim_wrapper=dict(optimizer=dict(lr=lr)),
        default_hooks=dict(
            checkpoint=None,
            logger=dict(interval=50),
            visualization=dict(draw=False),
        ),
        test_cfg=None,
        test_dataloader=None,
        test_evaluator=None,
        log_processor=dict(by_epoch=False),
        work_dir=str(work_dir),
        randomness=dict(seed=0),
    )
    cfg.merge_from_dict(options)
    cfg.default_hooks.pop('exact_resume', None)  # data are not seeded
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=WARMUP),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=WARMUP, end=steps),
    ]
    # no validation before the end
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_begin=steps + 1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner
