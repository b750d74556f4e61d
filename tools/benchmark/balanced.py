"""A segmentor whose experts are balanced, as docs/multi_modal.md shows it."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmseg.models import EncoderDecoder
from torch import Tensor


@MODELS.register_module()
class BalancedEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with the balancing loss of its backbone."""

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Return the losses of the model and ``loss_balance``."""
        losses = super().loss(inputs, data_samples)
        return {**losses, 'loss_balance': self.backbone.balance_loss}
