"""Whether the selector looks at the targets, as scalars in the training log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdynamicvis.models.dynamicvis import DynamicVis, Stage, StageSelection
from mmdynamicvis.registry import HOOKS


@HOOKS.register_module()
class SelectionStatisticsHook(Hook):
    """Logs, per stage, how the selection and its importance go with the boxes of the batch.

    For any model with a DynamicVis backbone and data samples with ``gt_instances.bboxes``. Every
    ``interval`` steps the log gets, for each stage that selects:

    | scalar | meaning |
    |---|---|
    | ``selection/stride4_in_boxes`` | share of the tokens inside boxes that were selected |
    | ``selection/stride4_by_chance`` | share of all tokens that are selected |
    | ``selection/stride4_entropy`` | entropy of the importance over that of a uniform one, 0 to 1 |

    A token is inside a box if its centre is; boxes are in pixels of the model's input. A batch
    without boxes gives no ``in_boxes``.

    Args:
        interval: Steps from one measurement to the next.

    Raises:
        ValueError: The model has no DynamicVis backbone that selects.
    """

    priority = 'NORMAL'  # before LoggerHook

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._stages: dict[int, Stage] = {}
        self._handles: list[RemovableHandle] = []
        self._selections: dict[int, StageSelection] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the stages that select, by their strides."""
        for module in runner.model.modules():
            stride = 1
            for stage in module.stages if isinstance(module, DynamicVis) else ():
                stride *= stage.merger.projection.stride[0]
                if any(unit.reduction_ratio for unit in stage.units):
                    self._stages[stride] = stage
        if not self._stages:
            raise ValueError('SelectionStatisticsHook: no stage of a DynamicVis backbone selects')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listen to the stages in the steps that are measured."""
        if self.every_n_train_iters(runner, self.interval):
            self._handles = [
                stage.register_forward_hook(self._remember(stride))
                for stride, stage in self._stages.items()
            ]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Measure, and hand the scalars to the log."""
        if not self._selections:
            return
        for handle in self._handles:
            handle.remove()
        boxes = [corners(sample.gt_instances.bboxes) for sample in data_batch['data_samples']]
        statistics = {}
        for stride, selection in self._selections.items():
            for name, value in selection_statistics(selection, boxes, stride).items():
                statistics[f'train/selection/stride{stride}_{name}'] = value
        self._selections.clear()
        # one transfer for all
        values = torch.stack(list(statistics.values())).tolist()
        for name, value in zip(statistics, values, strict=True):
            if value == value:  # NaN: no boxes
                runner.message_hub.update_scalar(name, value)

    def _remember(self, stride: int) -> Any:
        def hook(stage: nn.Module, inputs: tuple, output: tuple) -> None:
            self._selections[stride] = output[1]

        return hook


@torch.no_grad()
def selection_statistics(
    selection: StageSelection, boxes: Sequence[Tensor], stride: int
) -> dict[str, Tensor]:
    """Return what :class:`SelectionStatisticsHook` logs about one stage, as scalar tensors.

    Args:
        selection: Of a batch of B images.
        boxes: B tensors (R_i, 4), corners x1, y1, x2, y2 in pixels.
        stride: Pixels from one token to the next.

    Returns:
        ``in_boxes`` (NaN without a token in a box), ``by_chance`` and ``entropy``.
    """
    height, width = selection.grid
    indices_BK, importance_BL = selection.indices, selection.importance.float()
    device = indices_BK.device
    y_H = (torch.arange(height, device=device) + 0.5) * stride
    x_W = (torch.arange(width, device=device) + 0.5) * stride
    inside = []
    for boxes_R4 in boxes:
        x1, y1, x2, y2 = boxes_R4.to(device).unsqueeze(-1).unbind(1)
        rows_RH, columns_RW = (y1 <= y_H) & (y_H < y2), (x1 <= x_W) & (x_W < x2)
        inside.append((rows_RH.unsqueeze(2) & columns_RW.unsqueeze(1)).any(0).flatten())
    inside_BL = torch.stack(inside)
    n_tokens = height * width
    entropy_B = -torch.special.xlogy(importance_BL, importance_BL).sum(-1)
    return {
        'in_boxes': inside_BL.gather(1, indices_BK).sum() / inside_BL.sum().float(),
        'by_chance': torch.tensor(indices_BK.shape[1] / n_tokens, device=device),
        'entropy': entropy_B.mean() / torch.tensor(float(n_tokens), device=device).log(),
    }


def corners(boxes: Any) -> Tensor:
    """Return (R, 4) corners x1, y1, x2, y2 of boxes: a tensor of them, or any of mmdet's box types.

    Of rotated boxes, those of the upright boxes around them.
    """
    return boxes if isinstance(boxes, Tensor) else boxes.convert_to('hbox').tensor
