"""The table between the parameter names of the published checkpoints and ours."""

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

# Of region pretraining alone: other models have a ``neck.`` in both layouts.
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
# The direction gate lies inside the mixer: its row stands before the mixer's.
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
    """Translate a published backbone parameter name; any other name comes back as it is."""
    return _rename(name, _TO_OURS)


def to_published(name: str) -> str:
    """Translate one of our backbone parameter names; any other name comes back as it is."""
    return _rename(name, _TO_PUBLISHED)


def flatten_position(pos_embed_BCHW: Tensor) -> Tensor:
    """(1, C, H, W), as we keep the position embedding, to the published (1, H * W, C)."""
    return pos_embed_BCHW.flatten(2).transpose(1, 2).contiguous()


def unflatten_position(pos_embed_BLC: Tensor, grid: tuple[int, int]) -> Tensor:
    """The published position embedding (1, H * W, C) to ours, (1, C, H, W)."""
    return pos_embed_BLC.transpose(1, 2).unflatten(2, grid).contiguous()


def position_grid(length: int, like: Sequence[int] | None = None) -> tuple[int, int] | None:
    """Guess height and width of the grid of a published position embedding, which is flat.

    Args:
        length: Its number of tokens.
        like: A grid, whose size is tried before a square, and whose shape after it.

    Returns:
        None if nothing fits.
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
    """Translate a state dict; the values stay bit for bit.

    Of a region pretraining, told by its ``pre_neck.`` or ``roi_extractor.``, all parts are
    translated; of any other model the backbone alone.

    Args:
        state_dict: Of a backbone, or of a model whose backbone stands under ``backbone.``.
        layout: 'ours' or 'published'; names that are in this layout already stay.
        grid: Height and width in tokens of the position embedding, to unflatten a published one; a
            square by default.

    Raises:
        ValueError: The layout is unknown, the published layout has no place for a tensor, or the
            position embedding has another number of tokens than the grid.
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
