"""A Dice loss that excludes ignored pixels."""

from __future__ import annotations

from typing import Any

from mmseg.models.losses import DiceLoss
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class MaskedDiceLoss(DiceLoss):
    """mmseg's ``DiceLoss`` with softmax that excludes ignored pixels.

    In mmseg's loss, predictions at ignored pixels enter the denominator, so the loss lowers
    probabilities there. The sums run over all classes and pixels of an image together.

    Args:
        loss_weight: Weight of the loss.
        **kwargs: ``naive_dice``, ``eps``, ``reduction`` and ``loss_name`` of mmseg's class.
    """

    def __init__(self, loss_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(use_sigmoid=False, activate=False, loss_weight=loss_weight, **kwargs)

    def forward(
        self, pred: Tensor, target: Tensor, *args: Any, ignore_index: int = 255, **kwargs: Any
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred: (B, C, H, W) logits.
            target: (B, H, W) class indices, or ``ignore_index`` at ignored pixels.
            *args: ``weight`` and further arguments of mmseg's loss.
            ignore_index: Label of pixels that are ignored.
            **kwargs: Further arguments of mmseg's loss.

        Returns:
            The loss, a scalar unless ``reduction`` is 'none'.
        """
        counts = target != ignore_index
        # the index C is none of the classes, so no class has a target there
        target = target.where(counts, pred.shape[1])
        return super().forward(pred.softmax(1) * counts.unsqueeze(1), target, *args, **kwargs)
