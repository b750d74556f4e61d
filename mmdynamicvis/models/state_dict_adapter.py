"""Adaptation of state dicts to a backbone, and inference of a backbone's arguments from weights."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import interpolate

from mmdynamicvis.fileio import shorten
from mmdynamicvis.models.state_dict_map import position_grid, to_ours, unflatten_position

_STEM = 'stages.0.merger.projection.weight'
_POSITION = 'pos_embed'


class Backbone(Protocol):
    """Required interface of the model: a state dict and its design."""

    published: bool

    def state_dict(self) -> dict[str, Tensor]:
        """Return the parameters and buffers by name."""

    def use_published_design(self) -> None:
        """Switch to the published design."""


@dataclass
class LoadReport:
    """Report of the tensors loaded from a state dict into a backbone."""

    total: int
    """Number of tensors of the backbone."""
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @classmethod
    def adapt(cls, model: Backbone, state_dict: dict[str, Tensor], prefix: str) -> LoadReport:
        """Adapt the part of ``state_dict`` under ``prefix`` to the model, in place.

        Published names are converted to ours, the position embedding is resized to the model's
        grid, and a stem for three bands is repeated over the model's bands. The model switches to
        the published design if the checkpoint has it.

        Raises:
            RuntimeError: No tensor fits the model, a tensor has another shape, or the model has the
                published design but the checkpoint does not.
        """
        own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        given = {}
        for name in [name for name in state_dict if name.startswith(prefix)]:
            given[to_ours(name.removeprefix(prefix))] = state_dict.pop(name)
        if _fit_design(model, given):
            own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        report = cls(total=len(own))
        for name, adapt in ((_POSITION, _resize_position), (_STEM, _repeat_bands)):
            if name in own and name in given and given[name].shape != own[name]:
                source = tuple(given[name].shape)
                given[name] = adapt(given[name], own[name])
                # For a published embedding of the same grid, only the layout changes.
                if given[name].numel() != torch.Size(source).numel():
                    report.resized.append(f'{name} {source} -> {tuple(own[name])}')
        report.loaded = [name for name in given if name in own]
        report.missing = [name for name in own if name not in given]
        report.unexpected = [name for name in given if name not in own]
        if not given:
            raise RuntimeError(
                f'the checkpoint has nothing for the backbone: no name in it begins with {prefix!r}'
            )
        if not report.loaded:
            raise RuntimeError(
                f'the checkpoint has nothing for the backbone: of its names under {prefix!r}, '
                f'{shorten(list(given))}, none is one of the backbone. For a whole model, pass '
                "prefix='backbone.'"
            )
        wrong = [
            f'{name} is {tuple(given[name].shape)} there and {tuple(own[name])} in the model'
            for name in report.loaded
            if given[name].shape != own[name]
        ]
        if wrong:
            raise RuntimeError(
                f'the checkpoint is of another backbone (arch, in_channels or scan_mode): '
                f'{len(wrong)} tensors have another shape: {shorten(wrong)}'
            )
        state_dict.update({prefix + name: tensor for name, tensor in given.items()})
        return report

    def log(self) -> None:
        """Log a summary, as a warning if tensors are missing or unexpected."""
        text = f'DynamicVis: loaded {len(self.loaded)} of {self.total} tensors'
        for title in ('resized', 'missing', 'unexpected'):
            names = getattr(self, title)
            if names:
                text += f'; {len(names)} {title}: {shorten(names)}'
        incomplete = self.missing or self.unexpected
        print_log(text, 'current', logging.WARNING if incomplete else logging.INFO)


def _fit_design(model: Backbone, given: dict[str, Tensor]) -> bool:
    """Switch the model to the design of the tensors if needed; return whether it was switched."""
    units = [name for name in given if '.units.' in name]
    if not units:  # the design is unknown, for example of a stem alone
        return False
    published = not any('.local.' in name for name in units)
    if model.published and not published:
        raise RuntimeError(
            'the checkpoint is not of the published design, but the model is: build the backbone '
            'with published=False, which is the default'
        )
    if model.published == published:
        return False
    model.use_published_design()
    print_log(
        'DynamicVis: the weights are of the published design, to which the model switches. '
        'Training on several GPUs needs published=True in the config',
        'current',
    )
    return True


def _resize_position(position: Tensor, shape: torch.Size) -> Tensor:
    """Convert a position embedding, published (1, L, C) or ours (1, C, H, W), to our ``shape``."""
    if position.dim() == 3:
        grid = position_grid(position.shape[1], shape[2:])
        if grid is None:
            raise RuntimeError(
                f'the position embedding of the checkpoint has {position.shape[1]} tokens, neither '
                f"a square nor of the shape of the model's {shape[2]} x {shape[3]}: give the "
                'img_size it was trained with'
            )
        position = unflatten_position(position, grid)
    if position.shape == shape or position.shape[:2] != shape[:2]:
        return position
    wide = torch.promote_types(position.dtype, torch.float32)
    return interpolate(position.to(wide), shape[2:], mode='bicubic').to(position.dtype)


def _repeat_bands(weight: Tensor, shape: torch.Size) -> Tensor:
    """Expand a stem for 3 bands to n bands: band c gets the weights of band c % 3, times 3 / n.

    For an image whose bands are all equal, the features are the same if n is a multiple of 3, and
    of the same scale otherwise.
    """
    n_bands = shape[1]
    if weight.dim() != 4 or weight.shape[1] != 3 or weight.shape[::2] != shape[::2]:
        return weight
    return weight[:, [band % 3 for band in range(n_bands)]] * (3 / n_bands)


def backbone_weights(weights: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Return the weights of the backbone, under our names, from a backbone or a whole model.

    Args:
        weights: State dict read from a checkpoint, with our names or the published ones.
        origin: The checkpoint, for messages.

    Raises:
        ValueError: The weights do not include a DynamicVis backbone.
    """
    prefix = 'backbone.' if any(name.startswith('backbone.') for name in weights) else ''
    named = {
        to_ours(name.removeprefix(prefix)): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    if _STEM not in named:
        raise ValueError(
            f'checkpoint {origin} has no DynamicVis backbone; its names begin with '
            f'{sorted({name.split(".")[0] for name in weights})}'
        )
    return named


def infer_arguments(weights: dict[str, Tensor], patch_stride: int = 4) -> dict[str, Any]:
    """Return the arguments of :class:`~mmdynamicvis.DynamicVis` that can be inferred from weights.

    Args:
        weights: Weights of a backbone, under our names.
        patch_stride: Stride in pixels of the first patch merger, which cannot be inferred.
    """
    units: dict[int, int] = {}
    for name in weights:
        if match := re.match(r'stages\.(\d+)\.units\.(\d+)\.', name):
            stage, unit = map(int, match.groups())
            units[stage] = max(units.get(stage, 0), unit + 1)
    stems = [weights[f'stages.{i}.merger.projection.weight'] for i in sorted(units)]
    arch = dict(embed_dims=[len(stem) for stem in stems], depths=[units[i] for i in sorted(units)])
    arguments = dict(arch=arch, in_channels=stems[0].shape[1])
    arguments['published'] = not any('.local.' in name for name in weights)
    position = weights.get(_POSITION)
    arguments['position_embedding'] = position is not None
    if position is not None:
        published = position.dim() == 3
        grid = position_grid(position.shape[1]) if published else position.shape[2:]
        if grid is not None:
            arguments['img_size'] = [patch_stride * tokens for tokens in grid]
    if any('.direction_gate.' in name for name in weights):
        arguments['scan_mode'] = 'gate'
    return arguments
