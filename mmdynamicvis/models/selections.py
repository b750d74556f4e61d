"""What the stages of a backbone inside any model select, while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from mmdynamicvis.models.dynamicvis import DynamicVis, Stage, StageSelection


class Record:
    """Of the last forward pass of a backbone."""

    def __init__(self) -> None:
        self.images_BCHW: Tensor | None = None
        """Normalized and padded, as the backbone got them."""
        self.selections: dict[int, StageSelection] = {}
        """Stride of a stage that selects -> what it selected."""


def find_backbone(model: nn.Module) -> DynamicVis:
    """Return the first DynamicVis backbone in a model.

    Raises:
        ValueError: There is none.
    """
    for module in model.modules():
        if isinstance(module, DynamicVis):
            return module
    raise ValueError(f'{type(model).__name__} has no DynamicVis backbone')


def selecting_stages(backbone: DynamicVis) -> dict[int, Stage]:
    """Return the stages that select, by their strides in pixels."""
    stages = zip(backbone.strides, backbone.stages, strict=True)
    return {
        stride: stage
        for stride, stage in stages
        if any(unit.reduction_ratio for unit in stage.units)
    }


def tokens_in_boxes(boxes: Sequence[Tensor], grid: tuple[int, int], stride: int) -> Tensor:
    """Return (B, H * W) bool: whether the center of a token lies in a box of its image.

    Args:
        boxes: B tensors (R_i, 4), corners x1, y1, x2, y2 in pixels.
        grid: Height and width of the grid of tokens.
        stride: Pixels from one token to the next.
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
def record_selections(model: nn.Module) -> Iterator[Record]:
    """Record what a model's backbone selects in the forward passes inside; the last one counts.

    Raises:
        ValueError: The model has no DynamicVis backbone.
    """
    backbone, record = find_backbone(model), Record()

    def keep_images(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        record.images_BCHW = inputs[0].detach()

    def keep_selection(
        stride: int, module: nn.Module, inputs: tuple, output: tuple[Tensor, StageSelection]
    ) -> None:
        record.selections[stride] = output[1]

    handles = [backbone.register_forward_pre_hook(keep_images)]
    for stride, stage in selecting_stages(backbone).items():
        handles.append(stage.register_forward_hook(partial(keep_selection, stride)))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()
