"""Exact resumption: a resumed training is identical to one that was never interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from mmdynamicvis.engine.seeding import SampleIndex, seed_everything
from mmdynamicvis.registry import DATA_SAMPLERS, HOOKS

_KEY = 'exact_resume'
"""Key under which a checkpoint holds the state of the hook."""


@runtime_checkable
class Resumable(Protocol):
    """A dataset or sampler that can start in the middle of an epoch."""

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set the epoch of the next iteration and the number of batches already done in it."""


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed training identical to one that was never interrupted.

    Works with mmengine's epoch-based and iteration-based loops. Three things must depend only on
    the seed and the step, not on earlier random draws:

    - The order of the samples: use the sampler ``mmdynamicvis.ResumableSampler``, or
      ``mmdynamicvis.ResumableInfiniteSampler`` in an iteration-based loop.
    - The augmentation: use a dataset that seeds its samples; ``mmdynamicvis.SeededDataset`` wraps
      any dataset for this. ``mmdynamicvis.RegionStream`` provides both order and augmentation.
    - Random numbers drawn by the model: this hook seeds each step.

    Checkpoints may be saved within an epoch (``CheckpointHook`` with ``by_epoch=False``). With a
    single process they may also be saved during gradient accumulation (``accumulative_counts``);
    they then contain the gradients.

    Checkpoints also record the settings that determine the order of the samples. Resuming with
    different settings is refused.
    """

    priority = 'VERY_HIGH'  # before hooks that may draw random numbers

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the hook's state; it is not known yet whether training is resumed from it."""
        self._loaded = checkpoint.get(_KEY)

    def before_train(self, runner: Runner) -> None:
        """Check that the training is resumable and that its settings match the checkpoint's.

        Raises:
            TypeError: The order or the augmentation of the samples depends on earlier draws.
            RuntimeError: The checkpoint is from a training with other settings, or lacks
                accumulated gradients.
        """
        _check_data(runner)
        loaded, self._loaded = self._loaded, None
        if runner.iter == 0:
            return
        if loaded is None:
            runner.logger.warning(
                'ExactResumeHook: the checkpoint was written without the hook, or by an earlier '
                'mmdynamicvis, and does not state its batch size and number of processes. If they '
                'were different, samples are skipped or repeated.'
            )
            return
        _compare(loaded['settings'], _settings(runner))
        if loaded['accumulating']:
            _restore_gradients(runner, loaded['gradients'])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the settings that determine the sample order, and any accumulated gradients."""
        accumulating, gradients = _is_accumulating(runner), None
        if accumulating and get_world_size() == 1:
            parameters = _unwrapped(runner).named_parameters()
            gradients = {name: p.grad.cpu() for name, p in parameters if p.grad is not None}
        elif accumulating:
            runner.logger.warning(
                f'ExactResumeHook: the checkpoint of step {runner.iter + 1} lies within an '
                'accumulation of gradients, which several processes hold: it cannot be resumed. '
                'Choose checkpoint.by_epoch=False and an interval in multiples of '
                'accumulative_counts.'
            )
        checkpoint[_KEY] = dict(
            settings=_settings(runner), accumulating=accumulating, gradients=gradients
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the position within the epoch in dataset and sampler.

        An iteration-based loop has a single epoch and restores its position itself.

        Raises:
            RuntimeError: The checkpoint is from a training with another number of steps per epoch.
        """
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        loader = runner.train_dataloader
        n_steps = len(loader)
        batches_done = runner.iter - runner.epoch * n_steps
        if not 0 <= batches_done <= n_steps:
            raise RuntimeError(
                f'the checkpoint is of epoch {runner.epoch}, step {runner.iter}, which does not '
                f'fit {n_steps} steps per epoch: resume with the data, batch size and number of '
                'processes of the interrupted training, or start a new one with load_from'
            )
        _set_progress(loader, runner.epoch, batches_done)

    def before_val_epoch(self, runner: Runner) -> None:
        """Pass the batch size to the data, so that the workers of a stream fill their batches."""
        _set_progress(runner.val_dataloader, 0, 0)

    def before_test_epoch(self, runner: Runner) -> None:
        """Pass the batch size to the data, so that the workers of a stream fill their batches."""
        _set_progress(runner.test_dataloader, 0, 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the random numbers that the model draws in this step."""
        seed_everything(runner.seed, runner.iter, get_rank())


def _check_data(runner: Runner) -> None:
    """Raise TypeError unless samples and their order depend only on the seed and the step."""
    loader = runner.train_dataloader
    dataset, sampler = (type(part).__name__ for part in (loader.dataset, loader.sampler))
    iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
    if iterations and getattr(runner.train_loop, 'fast_forward_on_resume', False):
        raise TypeError(
            'ExactResumeHook needs train_cfg.fast_forward_on_resume=False: with True, a resumed '
            'training would start with the first samples again'
        )
    if isinstance(loader.dataset, IterableDataset):
        if iterations or not isinstance(loader.dataset, Resumable):
            raise TypeError(
                f'ExactResumeHook cannot resume {dataset} in {type(runner.train_loop).__name__}: '
                'of streams, it supports only mmdynamicvis.RegionStream, in an epoch-based loop '
                '(train_cfg.by_epoch=True)'
            )
        return
    if loader.batch_size is None:
        raise TypeError(
            f'ExactResumeHook cannot resume with {type(loader.batch_sampler).__name__}, whose '
            'batches do not follow from their number: leave batch_sampler out'
        )
    kinds = (ResumableInfiniteSampler, ResumableSampler) if iterations else Resumable
    if not isinstance(loader.sampler, kinds):
        kind = 'ResumableInfiniteSampler' if iterations else 'ResumableSampler'
        raise TypeError(
            f'ExactResumeHook cannot resume {dataset} with {sampler}: use '
            f"sampler=dict(type='mmdynamicvis.{kind}', shuffle=True)"
            + ('' if iterations else ' or the dataset mmdynamicvis.RegionStream')
        )
    if not getattr(loader.dataset, 'seeds_samples', False):
        raise TypeError(
            f'ExactResumeHook cannot resume {dataset}, whose augmentation follows from what was '
            "drawn before: wrap it, dataset=dict(type='mmdynamicvis.SeededDataset', "
            f"dataset=dict(type='{dataset}', ...))"
        )


def _settings(runner: Runner) -> dict[str, Any]:
    """Return the settings that determine the samples of a step: name for messages -> value."""
    loader = runner.train_dataloader
    stream = isinstance(loader.dataset, IterableDataset)
    order = loader.dataset if stream else loader.sampler
    wrapper = runner.cfg.get('optim_wrapper') or {}
    return {
        'number of processes': get_world_size(),
        'batch size': loader.batch_size,
        'number of samples': len(loader.dataset),
        'steps per epoch': len(loader),
        'accumulative_counts': wrapper.get('accumulative_counts', 1),
        'shuffle': getattr(order, 'shuffle', None),
        'seed of the order (randomness.seed)': getattr(order, 'seed', None),
        'seed of the samples': getattr(loader.dataset, 'seed', None),
        'number of workers': loader.num_workers if stream else None,
    }


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise RuntimeError if the settings of the interrupted training were different."""
    differences = [
        f'{name} is {value}, was {before[name]}'
        for name, value in now.items()
        if name in before and before[name] != value
    ]
    if differences:
        raise RuntimeError(
            'this training cannot go on as if it had not been interrupted: '
            f'{"; ".join(differences)}. Resume with the settings of the interrupted training, or '
            'start a new one from its weights with load_from, without resume'
        )


def _is_accumulating(runner: Runner) -> bool:
    """Return whether the parameters hold accumulated gradients that are not yet applied."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return any(isinstance(x, OptimWrapper) and not x.should_update() for x in wrappers)


def _restore_gradients(runner: Runner, gradients: dict[str, Any] | None) -> None:
    if gradients is None:
        raise RuntimeError(
            f'the checkpoint of step {runner.iter} lies within an accumulation of gradients and, '
            'written by one of several processes, does not hold them: resume from a checkpoint '
            'whose step is a multiple of accumulative_counts'
        )
    parameters = dict(_unwrapped(runner).named_parameters())
    if unknown := gradients.keys() - parameters.keys():
        raise RuntimeError(
            f'the checkpoint is of another model: it has a gradient of {min(unknown)}, and the '
            'model no such parameter'
        )
    for name, gradient in gradients.items():
        parameters[name].grad = gradient.to(parameters[name].device)
    runner.logger.info('ExactResumeHook: the gradients of the accumulation are restored')


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _set_progress(loader: DataLoader, epoch: int, batches_done: int) -> None:
    for part in (loader.dataset, loader.sampler):
        if isinstance(part, Resumable):
            part.set_progress(epoch, batches_done, loader.batch_size)


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` that can start within an epoch, for :class:`ExactResumeHook`.

    As in mmengine, an epoch repeats up to (number of processes - 1) samples so that all processes
    get the same number, unless ``round_up=False``.
    """

    def __init__(self, dataset: Sized, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self._n_done = 0

    def set_progress(self, epoch: int, batches_done: int, batch_size: int) -> None:
        """Set the epoch of the next iteration and the number of batches already done in it."""
        self.set_epoch(epoch)
        self._n_done = batches_done * batch_size

    def __iter__(self) -> Iterator[SampleIndex]:
        """Iterate over the remaining indices of the epoch."""
        epoch, indices = self.epoch, islice(super().__iter__(), self._n_done, None)
        return (SampleIndex(index, epoch) for index in indices)


@DATA_SAMPLERS.register_module()
class ResumableInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler`` whose indices carry the number of the pass over the data.

    For :class:`ExactResumeHook` in an iteration-based loop, which restores its position itself.
    """

    def __init__(self, dataset: Sized, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self._n_drawn = 0

    def skip(self, num_samples: int) -> None:
        """Skip samples of this process's infinite sequence; called by newer mmengine."""
        super().skip(num_samples)
        self._n_drawn = num_samples

    def __iter__(self) -> Iterator[SampleIndex]:
        """Iterate over the indices."""
        for index in super().__iter__():
            epoch = (self._n_drawn * self.world_size + self.rank) // self.size
            self._n_drawn += 1
            yield SampleIndex(index, epoch)
