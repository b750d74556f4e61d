"""Conversion between the parameter names of the published checkpoints and ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

# published, ours; {i} is a stage, {j} a unit
_TABLE = (
    ('layers.{i}.0.', 'stages.{i}.merger.'),
    ('layers.{i}.1.{j}.spatial_gate.', 'stages.{i}.units.{j}.scorer.'),
    ('layers.{i}.1.{j}.spatial_mamba_mixer.pre_norm.', 'stages.{i}.units.{j}.norm.'),
    (
        'layers.{i}.1.{j}.spatial_mamba_mixer.gate_layer.0.',
        'stages.{i}.units.{j}.mixer.direction_gate.',
    ),
    ('layers.{i}.1.{j}.spatial_mamba_mixer.mamba_layer.', 'stages.{i}.units.{j}.mixer.'),
    ('layers.{i}.2.', 'stages.{i}.norm.'),
    ('post_meanpool_norm.', 'post_norm.'),
)

# Only for region pretraining, because other models have a ``neck.`` in both layouts.
_PRETRAINING_PARTS = (
    ('pre_neck.', 'neck.'),
    ('neck.', 'roi_extractor.'),
    ('head.category_embedding.weight', 'head.meta_embeddings'),
    ('head.logit_scale', 'head.log_scale'),
)


def _rule(source: str, target: str) -> tuple[re.Pattern, str]:
    pattern = re.escape(source)
    for name in ('i', 'j'):
        pattern = pattern.replace(re.escape(f'{{{name}}}'), rf'(?P<{name}>\d+)', 1)
        target = target.replace(f'{{{name}}}', rf'\g<{name}>')
    return re.compile(pattern), target


_TO_OURS = [_rule(published, ours) for published, ours in _TABLE]
# The direction gate is inside the mixer, so its row must come before the mixer's.
_TO_PUBLISHED = [_rule(ours, published) for published, ours in _TABLE]
_PARTS_TO_OURS = [_rule(published, ours) for published, ours in _PRETRAINING_PARTS]
_PARTS_TO_PUBLISHED = [_rule(ours, published) for published, ours in _PRETRAINING_PARTS]


def _rename(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, target in rules:
        match = pattern.match(name)
        if match:
            return match.expand(target) + name[match.end() :]
    return name


def to_ours(name: str) -> str:
    """Translate a published parameter name of the backbone; return other names unchanged."""
    return _rename(name, _TO_OURS)


def to_published(name: str) -> str:
    """Translate one of our parameter names of the backbone; return other names unchanged."""
    return _rename(name, _TO_PUBLISHED)


def flatten_position(pos_embed_BCHW: Tensor) -> Tensor:
    """Convert our position embedding (1, C, H, W) to the published layout (1, H * W, C)."""
    return pos_embed_BCHW.flatten(2).transpose(1, 2).contiguous()


def unflatten_position(pos_embed_BLC: Tensor, grid: tuple[int, int]) -> Tensor:
    """Convert a published position embedding (1, H * W, C) to our layout (1, C, H, W)."""
    return pos_embed_BLC.transpose(1, 2).unflatten(2, grid).contiguous()


def position_grid(length: int, like: Sequence[int] | None = None) -> tuple[int, int] | None:
    """Infer (height, width) of the grid of a published position embedding, which is flat.

    Args:
        length: Number of tokens of the embedding.
        like: A grid to try: first with its size, then, after a square, with its aspect ratio.

    Returns:
        The grid in tokens, or None if none fits.
    """
    if like is not None and length == like[0] * like[1]:
        return like[0], like[1]
    side = round(length**0.5)
    if side * side == length:
        return side, side
    if like is not None:
        rows = round((length * like[0] / like[1]) ** 0.5)
        if rows and length % rows == 0:
            return rows, length // rows
    return None


def convert_layout(
    state_dict: dict[str, Tensor], layout: str, grid: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Translate a state dict to another layout; values are preserved bit for bit.

    For region pretraining, recognized by ``pre_neck.`` or ``roi_extractor.``, all parts are
    translated; for other models only the backbone.

    Args:
        state_dict: State dict of a backbone, or of a model with the prefix ``backbone.``.
        layout: 'ours' or 'published'; names that already are in this layout are kept.
        grid: (height, width) in tokens to unflatten a published position embedding; by default a
            square.

    Raises:
        ValueError: The layout is unknown, the published layout cannot represent a tensor, or the
            number of tokens of the position embedding does not match the grid.
    """
    if layout not in ('ours', 'published'):
        raise ValueError(f"layout is {layout!r}; choose 'ours' or 'published'")
    if layout == 'published' and any('.local.' in name for name in state_dict):
        raise ValueError(
            'the weights are not of the published design: its layout has no place for the '
            'convolutions of the units'
        )
    whole_model = any(name.startswith('backbone.') for name in state_dict)
    prefix = 'backbone.' if whole_model else ''
    rename = to_ours if layout == 'ours' else to_published
    foreign = 'pre_neck.' if layout == 'ours' else 'roi_extractor.'
    parts = _PARTS_TO_OURS if layout == 'ours' else _PARTS_TO_PUBLISHED
    if not any(name.startswith(foreign) for name in state_dict):
        parts = []
    converted = {}
    for name, tensor in state_dict.items():
        if name.startswith(prefix):
            inner = name.removeprefix(prefix)
            if inner == 'pos_embed':
                tensor = _convert_position(tensor, layout, grid)
            name = prefix + rename(inner)
        converted[_rename(name, parts)] = tensor
    return converted


def _convert_position(position: Tensor, layout: str, grid: tuple[int, int] | None) -> Tensor:
    if layout == 'published':
        return flatten_position(position) if position.dim() == 4 else position
    if position.dim() == 4:
        return position
    length = position.shape[1]
    grid = grid or position_grid(length)
    if grid is None or grid[0] * grid[1] != length:
        expected = 'no square' if grid is None else f'not {grid[0]} x {grid[1]}'
        raise ValueError(
            f'the position embedding has {length} tokens, {expected}: give the image size it was '
            'trained for'
        )
    return unflatten_position(position, grid)
