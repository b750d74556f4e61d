"""Whether the selector looks at the targets, as scalars in the training log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdynamicvis.models.dynamicvis import StageSelection
from mmdynamicvis.models.selections import (
    Record,
    find_backbone,
    record_selections,
    selecting_stages,
    tokens_in_boxes,
)
from mmdynamicvis.registry import HOOKS


@HOOKS.register_module()
class SelectionStatisticsHook(Hook):
    """Logs, per stage, how far selected tokens and importance overlap the boxes of a batch.

    For any model with a DynamicVis backbone and data samples with ``gt_instances.bboxes``. Every
    ``interval`` steps the log gets, for each stage that selects:

    | scalar | meaning |
    |---|---|
    | ``selection/stride4_in_boxes`` | share of the tokens inside boxes that were selected |
    | ``selection/stride4_by_chance`` | share of all tokens that are selected |
    | ``selection/stride4_entropy`` | entropy of the importance over that of a uniform one, 0 to 1 |

    A token is inside a box if its center is; boxes are in pixels of the model's input. A batch
    without boxes gives no ``in_boxes``. A backbone that selects nothing (``reduction_ratios=None``)
    logs nothing, after a warning.

    Args:
        interval: Steps from one measurement to the next.
        backbone: Which backbone, if a model has several: its name in the model or a part of it,
            'student' for example.

    Raises:
        ValueError: The model has no DynamicVis backbone, or several and none is named.
        RuntimeError: The backbone does not run in a training step.
    """

    priority = 'NORMAL'  # before LoggerHook

    def __init__(self, interval: int = 50, backbone: str | None = None) -> None:
        self.interval = interval
        self._selects = False
        self.backbone = backbone
        self._listening = ExitStack()
        self._record: Record | None = None

    def before_train(self, runner: Runner) -> None:
        """Look whether a stage selects."""
        self._selects = bool(selecting_stages(find_backbone(runner.model, self.backbone)))
        if not self._selects:
            runner.logger.warning(
                'SelectionStatisticsHook logs nothing: no stage of the DynamicVis backbone selects'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listen to the stages in the steps that are measured."""
        if self._selects and self.every_n_train_iters(runner, self.interval):
            listening = record_selections(runner.model, self.backbone)
            self._record = self._listening.enter_context(listening)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Measure, and hand the scalars to the log."""
        if self._record is None:
            return
        self._listening.close()
        boxes = [corners(sample.gt_instances.bboxes) for sample in data_batch['data_samples']]
        statistics = {}
        for stride, selection in self._record.selections.items():
            for name, value in selection_statistics(selection, boxes, stride).items():
                statistics[f'train/selection/stride{stride}_{name}'] = value
        self._record = None
        # one transfer for all
        values = torch.stack(list(statistics.values())).tolist()
        for name, value in zip(statistics, values, strict=True):
            if value == value:  # NaN: no boxes
                runner.message_hub.update_scalar(name, value)


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
    indices_BK, importance_BL = selection.indices, selection.importance.float()
    device = indices_BK.device
    inside_BL = tokens_in_boxes([b.to(device) for b in boxes], selection.grid, stride)
    n_tokens = inside_BL.shape[1]
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
