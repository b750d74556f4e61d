"""A Dice loss that leaves ignored pixels out."""

from __future__ import annotations

from typing import Any

from mmseg.models.losses import DiceLoss
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class MaskedDiceLoss(DiceLoss):
    """mmseg's ``DiceLoss`` with softmax, in which ignored pixels have no part.

    In mmseg's, what is predicted at ignored pixels is in the denominator, so that the loss drives
    probabilities there down. The sums run over all classes and pixels of an image together.

    Args:
        loss_weight: Weight of the loss.
        **kwargs: ``naive_dice``, ``eps``, ``reduction`` and ``loss_name`` of mmseg's.
    """

    def __init__(self, loss_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(use_sigmoid=False, activate=False, loss_weight=loss_weight, **kwargs)

    def forward(
        self, pred: Tensor, target: Tensor, *args: Any, ignore_index: int = 255, **kwargs: Any
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred: (B, C, H, W) logits.
            target: (B, H, W) classes, and ``ignore_index`` where nothing counts.
            *args: ``weight`` and others of mmseg's.
            ignore_index: Label of pixels that do not count.
            **kwargs: As ``args``.
        """
        counts = target != ignore_index
        # one more than the classes is none of them
        target = target.where(counts, pred.shape[1])
        return super().forward(pred.softmax(1) * counts.unsqueeze(1), target, *args, **kwargs)
