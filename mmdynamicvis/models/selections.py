"""Recording of the selections of a backbone inside any model while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from mmdynamicvis.models.dynamicvis import DynamicVis, Stage, StageSelection


class Record:
    """Images and selections of the last forward pass of a backbone."""

    def __init__(self) -> None:
        self.images_BCHW: Tensor | None = None
        """Input of the backbone, normalized and padded."""
        self.selections: dict[int, StageSelection] = {}
        """Stride in pixels of a selecting stage -> its selection."""


def find_backbone(model: nn.Module, name: str | None = None) -> DynamicVis:
    """Return the DynamicVis backbone in a model.

    Args:
        model: The model.
        name: If the model has several backbones, such as those of a teacher and a student, the name
            of one in the model or a part of the name between dots, for example 'teacher'.

    Raises:
        ValueError: There is no backbone, or not exactly one with that name; the message lists them.
    """
    found = {key: part for key, part in model.named_modules() if isinstance(part, DynamicVis)}
    if not found:
        raise ValueError(f'{type(model).__name__} has no DynamicVis backbone')
    chosen = [key for key in found if name is None or f'.{name}.' in f'.{key}.']
    if len(chosen) != 1:
        said = '' if name is None else f', {len(chosen)} of them by the name {name!r}'
        example = next(iter(found)).removeprefix('module.')
        raise ValueError(
            f'{type(model).__name__} has the DynamicVis backbones {", ".join(found)}{said}: name '
            f'one, as in backbone={example!r}'
        )
    return found[chosen[0]]


def selecting_stages(backbone: DynamicVis) -> dict[int, Stage]:
    """Return the stages that select: stride in pixels -> stage."""
    stages = zip(backbone.strides, backbone.stages, strict=True)
    return {
        stride: stage
        for stride, stage in stages
        if any(unit.reduction_ratio for unit in stage.units)
    }


def tokens_in_boxes(boxes: Sequence[Tensor], grid: tuple[int, int], stride: int) -> Tensor:
    """Return (B, H * W) bool: whether the center of a token is inside a box of its image.

    Args:
        boxes: B tensors (R_i, 4), corners x1, y1, x2, y2 in pixels.
        grid: (height, width) of the grid of tokens.
        stride: Stride of the tokens in pixels.
    """
    height, width = grid
    inside = []
    for boxes_R4 in boxes:
        y_H = (torch.arange(height, device=boxes_R4.device) + 0.5) * stride
        x_W = (torch.arange(width, device=boxes_R4.device) + 0.5) * stride
        x1, y1, x2, y2 = boxes_R4.unsqueeze(-1).unbind(1)
        rows_RH, columns_RW = (y1 <= y_H) & (y_H < y2), (x1 <= x_W) & (x_W < x2)
        inside.append((rows_RH.unsqueeze(2) & columns_RW.unsqueeze(1)).any(0).flatten())
    return torch.stack(inside)


@contextmanager
def record_selections(model: nn.Module, backbone: str | None = None) -> Iterator[Record]:
    """Record the selections of a model's backbone in the last forward pass inside the context.

    Args:
        model: The model.
        backbone: Name of the backbone, see :func:`find_backbone`.

    Raises:
        ValueError: The model does not have exactly one DynamicVis backbone with that name.
        RuntimeError: The backbone did not run inside the context.
    """
    listened, record = find_backbone(model, backbone), Record()

    def keep_images(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not isinstance(inputs[0], Tensor):
            raise TypeError(
                f'the backbone got a {type(inputs[0]).__name__}; its forward_with_selection '
                'returns the selections of several modalities'
            )
        record.images_BCHW = inputs[0].detach()

    def keep_selection(
        stride: int, module: nn.Module, inputs: tuple, output: tuple[Tensor, StageSelection]
    ) -> None:
        record.selections[stride] = output[1]

    handles = [listened.register_forward_pre_hook(keep_images)]
    for stride, stage in selecting_stages(listened).items():
        handles.append(stage.register_forward_hook(partial(keep_selection, stride)))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()
    if record.images_BCHW is None:
        said = '' if backbone is None else f' {backbone!r}'
        raise RuntimeError(
            f'the DynamicVis backbone{said} of {type(model).__name__} did not run: nothing is '
            'selected'
        )
