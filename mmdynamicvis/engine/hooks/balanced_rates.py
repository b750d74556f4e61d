"""Learning rates that follow how fast the losses of several tasks or sources fall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from mmdynamicvis.registry import HOOKS

_KEY = 'balanced_rates'
"""Key under which a checkpoint holds the state of the hook."""
SHARED = 'shared'
"""Name of the parameters that belong to no part, in the log."""


@HOOKS.register_module()
class BalancedLearningRateHook(Hook):
    r"""Scales the learning rates of parts of a model by the losses of their tasks or sources.

    As in SM3Det, which detects objects in RGB, SAR and infrared images (``DynamicLrUpdaterHook`` in
    https://github.com/zcablii/SM3Det, commit b271f31, https://arxiv.org/abs/2412.20665). After each
    step, with the n losses :math:`L_i` and their exponential moving averages :math:`E_i` before it,

    .. math::

        w_i = n \, \mathrm{softmax}_i(E_i / (L_i T)), \quad
        s = 2 \, \sigma((1 - K - b) \, T), \quad
        K = \frac{1}{n} \sum_i h_i \log(h_i / c_i),
        \; h = \mathrm{softmax}(E), \; c = \mathrm{softmax}(L)

    In the next step, the learning rate of a part is multiplied by the mean of its :math:`w_i`, so
    that a part whose loss rises above its average learns more slowly, and that of all other
    parameters by s. The factor 1 / n of K is that of the published code. Averages start as the
    first losses. The scheduled learning rates, which the log and checkpoints have, are not changed:
    they are multiplied for the optimizer's step alone. A resumed training equals an uninterrupted
    one if all else is exact (``ExactResumeHook``).

    Losses that are 0 or not finite have no part in a step, and a part without any keeps its
    learning rate. With several processes, losses are averaged over those that have them. The log
    has ``balance/PART`` and ``balance/shared``.

    Args:
        parts: Prefix of the names of a part's parameters -> names of its losses, as
            ``{'decode_head.damage': ['damage.loss_ce']}``. Each parameter group must have
            parameters of one part: see ``paramwise_cfg`` of mmengine.
        temperature: T.
        bias: b.
        momentum: Share of the current loss in the new average.
        begin: First step whose learning rates are scaled, for example the end of the warmup.
        partial: Batches may lack losses, of a source that they have no image of. Otherwise a
            missing loss is an error.

    Raises:
        ValueError: An argument is out of range, a part has no loss or no parameters, parts overlap,
            a parameter group has parameters of several parts, or a loss is missing.
        TypeError: There are several optimizers.
        RuntimeError: Training is resumed from a checkpoint with other losses.
    """

    priority = 'NORMAL'  # after_train_iter before the schedulers (LOW) and the checkpoint

    def __init__(
        self,
        parts: Mapping[str, Sequence[str]],
        temperature: float = 3.0,
        bias: float = 0.4,
        momentum: float = 0.001,
        begin: int = 0,
        partial: bool = False,
    ) -> None:
        self.parts = {part: tuple(losses) for part, losses in parts.items()}
        self.losses = tuple(loss for losses in self.parts.values() for loss in losses)
        if not all(self.parts.values()) or not self.losses:
            raise ValueError(f'parts is {self.parts}; give losses of every part')
        if len({*self.losses}) < len(self.losses):
            raise ValueError(f'parts is {self.parts}; a loss belongs to one part')
        if not temperature > 0 or not 0 < momentum <= 1 or begin < 0:
            raise ValueError(
                f'temperature {temperature} must be positive, momentum {momentum} in (0, 1] and '
                f'begin {begin} not negative'
            )
        self.temperature, self.bias, self.momentum = temperature, bias, momentum
        self.begin, self.partial = begin, partial
        self.averages: dict[str, float] = {}
        self.factors = dict.fromkeys([*self.parts, SHARED], 1.0)
        self._groups: list[str] = []
        self._scheduled: list[Any] | None = None
        self._loaded: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the hook's state; it is not known yet whether training is resumed from it."""
        self._loaded = checkpoint.get(_KEY)

    def before_train(self, runner: Runner) -> None:
        """Find the part of each parameter group, and take over the state of a checkpoint."""
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise TypeError('BalancedLearningRateHook works with one optimizer, not with several')
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        # not those of the wrapper, which has one more: the settings by which it logs the base rate
        self._groups = [
            self._part_of([names[id(p)] for p in group['params']])
            for group in runner.optim_wrapper.optimizer.param_groups
        ]
        if empty := sorted(self.parts.keys() - {*self._groups}):
            raise ValueError(f'the optimizer has no parameters of {empty}')
        loaded, self._loaded = self._loaded, None
        if runner.iter == 0:
            return
        if loaded is None or loaded['parts'] != self.parts:
            raise RuntimeError(
                f'the checkpoint has no averages of the losses of {list(self.parts)}: resume with '
                'the hook and the parts with which it was written, or start anew with load_from'
            )
        self.averages, self.factors = dict(loaded['averages']), dict(loaded['factors'])

    def _part_of(self, names: Sequence[str]) -> str:
        """Return the part that the parameters of a group belong to, or SHARED."""
        found = set()
        for name in names:
            parts = [part for part in self.parts if f'{name}.'.startswith(f'{part}.')]
            if len(parts) > 1:
                raise ValueError(f'the parameter {name} belongs to {parts}: parts must not overlap')
            found.add(parts[0] if parts else SHARED)
        if len(found) > 1:
            raise ValueError(
                f'a parameter group has parameters of {sorted(found)}. Have a group for each '
                'parameter, as by optim_wrapper.paramwise_cfg=dict(custom_keys='
                f'{ {part: dict(lr_mult=1.0) for part in self.parts} })'
            )
        return found.pop() if found else SHARED

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Scale the learning rates for this step."""
        if runner.iter < self.begin:
            return
        groups = runner.optim_wrapper.optimizer.param_groups
        self._scheduled = [group['lr'] for group in groups]
        for group, part in zip(groups, self._groups, strict=True):
            group['lr'] = group['lr'] * self.factors[part]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Restore the scheduled learning rates, and compute the factors of the next step."""
        if self._scheduled is not None:
            groups = runner.optim_wrapper.optimizer.param_groups
            for group, scheduled in zip(groups, self._scheduled, strict=True):
                group['lr'] = scheduled
            self._scheduled = None
        losses = self._losses(outputs or {})
        self.factors = self._factors(losses)
        for part, factor in self.factors.items():
            runner.message_hub.update_scalar(f'train/balance/{part}', factor)
        for name, loss in losses.items():
            average = self.averages.get(name, loss)
            self.averages[name] = average + self.momentum * (loss - average)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the averages, and the factors of the next step."""
        checkpoint[_KEY] = dict(
            parts=self.parts, averages=dict(self.averages), factors=dict(self.factors)
        )

    def _losses(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Return the losses of a step that count, averaged over the processes that have them."""
        missing = [name for name in self.losses if name not in outputs]
        if missing and not self.partial:
            known = [name for name in outputs if 'loss' in name]
            raise ValueError(
                f'the step has no loss {missing}; it has {known}. Correct parts, or set '
                'partial=True if batches may lack losses'
            )
        values = [torch.as_tensor(outputs.get(name, math.nan)) for name in self.losses]
        values = torch.stack([value.detach().double() for value in _on_one_device(values)])
        counts = values.isfinite() & (values > 0)
        totals = torch.stack([values.where(counts, values.new_tensor(0)), counts.double()])
        all_reduce(totals)
        return {
            name: total / count
            for name, total, count in zip(self.losses, *totals.tolist(), strict=True)
            if count
        }

    def _factors(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the factor of each part and of what is shared, given the losses of a step."""
        factors = dict.fromkeys(self.factors, 1.0)
        if not losses:
            return factors
        current = torch.tensor(list(losses.values()), dtype=torch.float64)
        average = torch.tensor(
            [self.averages.get(name, loss) for name, loss in losses.items()], dtype=torch.float64
        )
        weights = len(losses) * (average / current / self.temperature).softmax(0)
        weights = dict(zip(losses, weights.tolist(), strict=True))
        for part, names in self.parts.items():
            of_part = [weights[name] for name in names if name in weights]
            if of_part:
                factors[part] = sum(of_part) / len(of_part)
        log_h, log_c = average.log_softmax(0), current.log_softmax(0)
        divergence = (log_h.exp() * (log_h - log_c)).mean()
        scale = 2 * torch.sigmoid((1 - divergence - self.bias) * self.temperature)
        factors[SHARED] = float(scale)
        return factors


def _on_one_device(values: Sequence[Tensor]) -> list[Tensor]:
    """Return scalars on the device of the one that is on an accelerator, if any."""
    devices = {value.device for value in values}
    device = next((d for d in devices if d.type != 'cpu'), torch.device('cpu'))
    return [value.to(device) for value in values]
