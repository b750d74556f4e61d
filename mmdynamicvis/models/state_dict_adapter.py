"""Adaptation of state dicts to a backbone, and inference of a backbone's arguments from weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import interpolate

from mmdynamicvis.band_names import spelling
from mmdynamicvis.fileio import shorten
from mmdynamicvis.models.mamba_mixer import NUM_GATED
from mmdynamicvis.models.state_dict_map import position_grid, to_ours, unflatten_position
from mmdynamicvis.models.stem_bands import bands_of, take_by_name, with_bands, without_prefix

_STEM = 'stages.0.merger.projection.weight'
_POSITION = 'pos_embed'
_TOKENIZERS = 'tokenizers.'
"""Of other modalities, which match their bands themselves."""


class Backbone(Protocol):
    """Required interface of the model: a state dict, its design and its bands."""

    published: bool
    bands: tuple[str, ...] | None

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
    fresh: list[str] = field(default_factory=list)
    """Names of the model's bands that the checkpoint does not have."""
    bands: str = ''
    """What became of the bands, for the log; empty if they are the same or have no names."""

    @classmethod
    def adapt(
        cls,
        model: Backbone,
        state_dict: dict[str, Tensor],
        prefix: str,
        bands: Sequence[str] | None = None,
    ) -> LoadReport:
        """Adapt the part of ``state_dict`` under ``prefix`` to the model, in place.

        Published names are converted to ours, the position embedding is resized to the model's
        grid, and the model's bands take the weights of the bands with the same names; others keep
        the model's own. The model switches to the published design if the checkpoint has it.

        Args:
            model: The backbone.
            state_dict: Weights, with those of other parts under other prefixes.
            prefix: Path of the backbone in ``state_dict``, with a dot at the end.
            bands: Names of the bands in the checkpoint, if known.

        Raises:
            RuntimeError: No tensor fits the model, a tensor has another shape, the numbers of bands
                differ and their names are not known, or the model has the published design but the
                checkpoint does not.
        """
        own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        given = {}
        for name in [name for name in state_dict if name.startswith(prefix)]:
            given[to_ours(name.removeprefix(prefix))] = state_dict.pop(name)
        if _fit_design(model, given):
            own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        report = cls(total=len(own))
        if _POSITION in own and _POSITION in given and given[_POSITION].shape != own[_POSITION]:
            source = given[_POSITION].shape
            given[_POSITION] = _resize_position(given[_POSITION], own[_POSITION])
            # For a published embedding of the same grid, only the layout changes.
            if given[_POSITION].numel() != source.numel():
                report.resized.append(f'{_POSITION} {tuple(source)} -> {tuple(own[_POSITION])}')
        if _STEM in given and _is_stem(given[_STEM], own[_STEM]):
            given[_STEM] = report._match_bands(given[_STEM], bands, model)
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
            if given[name].shape != own[name] and not name.startswith(_TOKENIZERS)
        ]
        if wrong:
            raise RuntimeError(
                f'the checkpoint is of another backbone (arch, in_channels or scan_mode): '
                f'{len(wrong)} tensors have another shape: {shorten(wrong)}'
            )
        state_dict.update({prefix + name: tensor for name, tensor in given.items()})
        return report

    def _match_bands(self, weight: Tensor, names: Sequence[str] | None, model: Backbone) -> Tensor:
        """Return the weight of a checkpoint's stem for the bands of the model."""
        own = model.state_dict()[_STEM]
        count, n_own = weight.shape[1], own.shape[1]
        if names is not None and len(names) != count:
            raise RuntimeError(
                f'{len(names)} bands are named for the checkpoint, {", ".join(names)}, but its '
                f'stem takes {count}: name them in the order of its channels'
            )
        if names is None or model.bands is None:
            if count == n_own:
                if model.bands is not None:
                    self.bands = f'its bands have no names: taken as {", ".join(model.bands)}'
                return weight
            known = [
                f'{whose} {", ".join(of) if of else "have no names"}'
                for whose, of in (('its', names), ("the backbone's", model.bands))
            ]
            raise RuntimeError(
                f'the checkpoint takes {count} bands, the backbone {n_own}, and which are the same '
                f'is not known ({known[0]}; {known[1]}). Name them: bands=(...) of the backbone, '
                "('red', 'green', 'blue', 'nir') for example, and for a checkpoint without names "
                "bands=(...) of init_cfg=dict(type='Pretrained', ...). Bands of the same name take "
                'their weights, others start fresh'
            )
        if [spelling(name) for name in names] == [spelling(name) for name in model.bands]:
            return weight
        stem, self.fresh = take_by_name(weight, names, own, model.bands)
        taken = [name for name in model.bands if name not in self.fresh]
        self.bands = f'of its bands {", ".join(names)}, {", ".join(taken) or "none"} are taken'
        if self.fresh:
            self.bands += f', and {", ".join(self.fresh)} start fresh'
        return stem

    def log(self) -> None:
        """Log a summary, as a warning if tensors or bands are missing or unexpected."""
        text = f'DynamicVis: loaded {len(self.loaded)} of {self.total} tensors'
        for title in ('resized', 'missing', 'unexpected'):
            names = getattr(self, title)
            if names:
                text += f'; {len(names)} {title}: {shorten(names)}'
        if self.bands:
            text += f'; {self.bands}'
        incomplete = self.missing or self.unexpected or self.fresh
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


def _is_stem(weight: Tensor, own: torch.Size) -> bool:
    """Whether a weight differs from the model's at most in the number of bands."""
    return weight.dim() == 4 and weight.shape[0] == own[0] and weight.shape[2:] == own[2:]


def backbone_weights(weights: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Return the state dict of the backbone, under our names, from a backbone or a whole model.

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
    return with_bands(named, without_prefix(bands_of(weights), prefix))


def infer_arguments(weights: dict[str, Tensor], patch_stride: int = 4) -> dict[str, Any]:
    """Return the arguments of :class:`~mmdynamicvis.DynamicVis` that can be inferred from weights.

    Args:
        weights: State dict of a backbone, under our names.
        patch_stride: Stride in pixels of the first patch merger, which cannot be inferred.
    """
    units: dict[int, int] = {}
    for name in weights:
        if match := re.match(r'stages\.(\d+)\.units\.(\d+)\.', name):
            stage, unit = map(int, match.groups())
            units[stage] = max(units.get(stage, 0), unit + 1)
    stems = [weights[f'stages.{i}.merger.projection.weight'] for i in sorted(units)]
    arch = dict(embed_dims=[len(stem) for stem in stems], depths=[units[i] for i in sorted(units)])
    arguments = dict(arch=arch, in_channels=stems[0].shape[1], bands=bands_of(weights).get(''))
    arguments['published'] = not any('.local.' in name for name in weights)
    position = weights.get(_POSITION)
    arguments['position_embedding'] = position is not None
    if position is not None:
        published = position.dim() == 3
        grid = position_grid(position.shape[1]) if published else position.shape[2:]
        if grid is not None:
            arguments['img_size'] = [patch_stride * tokens for tokens in grid]
    gates = [tensor for name, tensor in weights.items() if '.direction_gate.' in name]
    if gates:
        modes = {passes: mode for mode, passes in NUM_GATED.items()}
        arguments['scan_mode'] = modes.get(len(gates[0]), 'gate')
    return arguments
