"""Check for a last batch of one image, on which batch norms may fail."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.hooks import RemovableHandle

from mmdynamicvis.registry import HOOKS


@HOOKS.register_module()
class LastBatchHook(Hook):
    """Refuses, in the first step, a last batch of one image that the model cannot train on.

    A batch norm needs more than one value per channel, and one after a pooling to 1 x 1, as in
    UPerNet, gets only one per image. Such a model would train for an epoch and fail at the last
    batch if that has one image. If the data will produce such a batch, the hook inspects the
    inputs of all batch norms in the first step; models whose batch norms get more values pass.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def before_train(self, runner: Runner) -> None:
        """Observe the batch norms in the first step if a batch will have one image."""
        loader = runner.train_dataloader
        if not _has_batch_of_one(loader, isinstance(runner.train_loop, IterBasedTrainLoop)):
            return
        for name, module in runner.model.named_modules():
            alone = not isinstance(module, nn.SyncBatchNorm) or get_world_size() == 1
            if isinstance(module, _BatchNorm) and alone:
                check = partial(_refuse_one_value, name=name, loader=loader)
                self._handles.append(module.register_forward_pre_hook(check))

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop observing."""
        while self._handles:
            self._handles.pop().remove()


def _has_batch_of_one(loader: DataLoader, by_iterations: bool) -> bool:
    batches = loader.batch_sampler
    if batches is None or batches.drop_last:
        return False
    if batches.batch_size == 1:
        return True
    # mmengine's InfiniteSampler, and other samplers in iteration-based loops, never end
    endless = isinstance(loader.sampler, InfiniteSampler) or (
        by_iterations and not isinstance(loader.sampler, DefaultSampler)
    )
    if isinstance(loader.dataset, IterableDataset):  # begins again, and may not know its length
        endless = not hasattr(loader.dataset, '__len__')
    return not endless and _images(loader) % batches.batch_size == 1


def _images(loader: DataLoader) -> int:
    """Return the number of images in an epoch of this process."""
    streamed = isinstance(loader.dataset, IterableDataset)
    return len(loader.dataset if streamed else loader.sampler)


def _refuse_one_value(
    module: nn.Module, inputs: tuple[Tensor, ...], name: str, loader: DataLoader
) -> None:
    """Raise a ValueError if a batch norm gets one value per image and channel.

    Args:
        module: The batch norm.
        inputs: Inputs of the module: (B, C, H, W) or (B, C).
        name: Name of the module.
        loader: The training dataloader; its first batch is full.
    """
    values = inputs[0].numel() // inputs[0].shape[1]
    size = loader.batch_sampler.batch_size
    count = size if size == 1 else _images(loader)
    if module.training and values == min(count, size):
        batch = f'the last batch of an epoch has 1 image ({count} images in batches of {size})'
        drop = 'set train_dataloader.drop_last=True or another batch_size'
        if size == 1:
            batch, drop = 'train_dataloader.batch_size is 1', 'set a batch_size of 2 or more'
        raise ValueError(
            f'{batch}, and the batch norm {name.removeprefix("module.")} gets one value per image '
            f'and channel, which is too few to train on: {drop}'
        )
