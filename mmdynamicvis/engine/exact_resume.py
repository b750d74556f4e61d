"""Training that can be killed at any moment and goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from mmengine.dataset import DefaultSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, IterableDataset

from mmdynamicvis.engine.seeding import seed_everything
from mmdynamicvis.registry import DATA_SAMPLERS, HOOKS


@runtime_checkable
class Resumable(Protocol):
    """A dataset or sampler that can begin an epoch anywhere."""

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set the epoch that the next iteration goes through, and how much of it is behind."""


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed training equal to one that was never interrupted.

    Before an epoch it tells the dataset and the sampler which epoch it is and how many of its
    batches the checkpoint has behind it, so that checkpoints may be saved within an epoch
    (``CheckpointHook`` with ``by_epoch=False``). Before a step it seeds random, numpy and torch
    from the seed, the step and the rank. For mmengine's epoch-based loop; the dataset must be
    ``mmdynamicvis.RegionStream``, or one like ``mmdynamicvis.CocoRegions`` with the sampler
    ``mmdynamicvis.ResumableSampler``.
    """

    priority = 'VERY_HIGH'  # before hooks that may draw random numbers

    def before_train(self, runner: Runner) -> None:
        """Check that the data can begin an epoch anywhere.

        Raises:
            TypeError: What orders the samples, a stream or else the sampler, cannot.
        """
        loader = runner.train_dataloader
        is_stream = isinstance(loader.dataset, IterableDataset)
        if not isinstance(loader.dataset if is_stream else loader.sampler, Resumable):
            raise TypeError(
                f'ExactResumeHook cannot resume {type(loader.dataset).__name__} with '
                f"{type(loader.sampler).__name__}: use sampler=dict(type='mmdynamicvis."
                "ResumableSampler', shuffle=True) or the dataset mmdynamicvis.RegionStream"
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell dataset and sampler where in the epoch the training is.

        Raises:
            RuntimeError: The checkpoint is of a training with another number of steps per epoch.
        """
        loader = runner.train_dataloader
        n_steps = len(loader)
        batches_done = runner.iter - runner.epoch * n_steps
        if not 0 <= batches_done <= n_steps:
            raise RuntimeError(
                f'the checkpoint is of epoch {runner.epoch}, step {runner.iter}, which does not go '
                f'with {n_steps} steps per epoch: resume with the data, batch size and number of '
                'processes of the interrupted training, or start anew with load_from'
            )
        _set_progress(loader, runner.epoch, batches_done)

    def before_val_epoch(self, runner: Runner) -> None:
        """Tell the data the batch size, so that the workers of a stream fill their batches."""
        _set_progress(runner.val_dataloader, 0, 0)

    def before_test_epoch(self, runner: Runner) -> None:
        """Tell the data the batch size, so that the workers of a stream fill their batches."""
        _set_progress(runner.test_dataloader, 0, 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws in this step."""
        seed_everything(runner.seed, runner.iter, get_rank())


def _set_progress(loader: DataLoader, epoch: int, batches_done: int) -> None:
    for part in (loader.dataset, loader.sampler):
        if isinstance(part, Resumable):
            part.set_progress(epoch, batches_done, loader.batch_size)


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` that can begin an epoch anywhere, for :class:`ExactResumeHook`.

    As there, an epoch repeats up to (number of processes - 1) samples so that all processes have
    equally many, unless ``round_up=False``.
    """

    def __init__(self, dataset: Sized, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self._n_done = 0

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set the epoch that the next iteration goes through, and how much of it is behind."""
        self.set_epoch(epoch)
        self._n_done = batches_done * batch_size

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices that are left of the epoch."""
        return islice(super().__iter__(), self._n_done, None)
