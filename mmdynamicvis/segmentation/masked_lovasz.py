"""A Lovász-softmax loss of batches in which few or no pixels count."""

from __future__ import annotations

from typing import Any

from mmseg.models.losses import LovaszLoss
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class MaskedLovaszLoss(LovaszLoss):
    """mmseg's ``LovaszLoss`` of several classes, 0 if all pixels of a batch are ignored.

    mmseg's loss is NaN then, and fails if a single pixel counts. Both occur if labels are missing
    or a map is learned only within another, such as damage in crops without buildings. The loss is
    taken over all pixels of a batch together, in float32, and averaged over the classes that they
    have (https://arxiv.org/abs/1705.08790).

    Args:
        loss_weight: Weight of the loss.
        **kwargs: ``classes``, ``class_weight`` and ``loss_name`` of mmseg's class.
    """

    def __init__(self, loss_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(reduction='none', loss_weight=loss_weight, **kwargs)

    def forward(
        self, pred: Tensor, target: Tensor, *args: Any, ignore_index: int = 255, **kwargs: Any
    ) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            pred: (B, C, H, W) logits.
            target: (B, H, W) class indices, or ``ignore_index`` at ignored pixels.
            *args: Not used: ``weight`` and further arguments of mmseg's losses.
            ignore_index: Label of pixels that are ignored.
            **kwargs: Not used.
        """
        counts = target != ignore_index
        if not counts.any():  # keeps the graph, which distributed training needs
            return pred.sum() * 0
        pred_PC = pred.movedim(1, -1)[counts].float()
        # as one image of one row
        return super().forward(
            pred_PC.T[None, :, None], target[counts][None, None], ignore_index=None
        )
