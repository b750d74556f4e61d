"""Scalars in the training log that show whether the selector selects the targets."""

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
    """Logs, per stage, how strongly token selection overlaps the boxes, and its entropy.

    Works for any model with a DynamicVis backbone and data samples with ``gt_instances.bboxes``.
    Every ``interval`` steps, each selecting stage logs:

    ===============================  ======================================================
    scalar                           meaning
    ===============================  ======================================================
    ``selection/stride4_in_boxes``   fraction of the tokens inside boxes that is selected
    ``selection/stride4_by_chance``  fraction of all tokens that is selected
    ``selection/stride4_entropy``    entropy of the importance, relative to uniform, 0 to 1
    ===============================  ======================================================

    A token is inside a box if its center is; boxes are in pixels of the model's input. ``in_boxes``
    is not logged for a batch without boxes. If the backbone does not select
    (``reduction_ratios=None``), nothing is logged, after a warning.

    Args:
        interval: Number of steps between measurements.
        backbone: If the model has several backbones, the name of one in the model or a part of the
            name, 'student' for example.

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
        """Check whether a stage selects."""
        self._selects = bool(selecting_stages(find_backbone(runner.model, self.backbone)))
        if not self._selects:
            runner.logger.warning(
                'SelectionStatisticsHook logs nothing: no stage of the DynamicVis backbone selects'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record the selections of the steps that are measured."""
        if self._selects and self.every_n_train_iters(runner, self.interval):
            listening = record_selections(runner.model, self.backbone)
            self._record = self._listening.enter_context(listening)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Compute the statistics and log them."""
        if self._record is None:
            return
        self._listening.close()
        boxes = [corners(sample.gt_instances.bboxes) for sample in data_batch['data_samples']]
        statistics = {}
        for stride, selection in self._record.selections.items():
            for name, value in selection_statistics(selection, boxes, stride).items():
                statistics[f'train/selection/stride{stride}_{name}'] = value
        self._record = None
        # a single transfer from the GPU
        values = torch.stack(list(statistics.values())).tolist()
        for name, value in zip(statistics, values, strict=True):
            if value == value:  # not NaN, which means no boxes
                runner.message_hub.update_scalar(name, value)


@torch.no_grad()
def selection_statistics(
    selection: StageSelection, boxes: Sequence[Tensor], stride: int
) -> dict[str, Tensor]:
    """Return the statistics of :class:`SelectionStatisticsHook` for one stage, as scalar tensors.

    Args:
        selection: Selection of a stage for a batch of B images.
        boxes: B tensors (R_i, 4), corners x1, y1, x2, y2 in pixels.
        stride: Stride of the stage in pixels.

    Returns:
        ``in_boxes`` (NaN if no token is in a box), ``by_chance`` and ``entropy``.
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
    """Return the corners x1, y1, x2, y2 of boxes, (R, 4).

    Args:
        boxes: A tensor (R, 4), returned as it is, or any of mmdet's box types. Rotated boxes are
            replaced by their enclosing upright boxes.
    """
    return boxes if isinstance(boxes, Tensor) else boxes.convert_to('hbox').tensor
