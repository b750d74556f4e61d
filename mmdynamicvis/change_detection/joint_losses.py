"""Losses of several maps of a pair: land cover of both dates, and the change between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdynamicvis.registry import MODELS

IGNORED = 255
Maps = Mapping[str, Tensor]


@MODELS.register_module()
class SemanticConsistencyLoss(nn.Module):
    """Land cover of both dates shall be alike where nothing has changed.

    'cosine' is the semantic consistency loss of Bi-SRNet (https://arxiv.org/abs/2108.06103,
    ``ChangeSimilarity`` in its code): with the cosine of the two dates' probabilities, 1 - cos at
    unchanged pixels and max(cos, 0) at changed ones, averaged over pixels. 'squared' is the
    similarity loss of ChangeMamba's code (https://github.com/ChenHongruixuan/ChangeMamba,
    ``tasks/scd.py``): the squared difference of the probabilities, 0 at changed pixels, averaged
    over pixels and classes. Pixels whose change is not known do not count in either.

    Args:
        dates: Outputs with the land cover of the two dates.
        change: Output with the change, 0 for none and 1.
        distance: Which of both.
        loss_weight: Weight of the loss.
        loss_name: Name in the log.

    Raises:
        ValueError: The distance is unknown.
    """

    def __init__(
        self,
        dates: tuple[str, str] = ('semantic_from', 'semantic_to'),
        change: str = 'change',
        distance: Literal['cosine', 'squared'] = 'cosine',
        loss_weight: float = 1.0,
        loss_name: str = 'loss_consistency',
    ) -> None:
        super().__init__()
        if distance not in ('cosine', 'squared'):
            raise ValueError(f"distance is {distance!r}; choose 'cosine' or 'squared'")
        self.dates, self.change = tuple(dates), change
        self.distance, self.loss_weight, self.loss_name = distance, loss_weight, loss_name

    def forward(self, logits: Maps, targets: Maps) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            logits: Of each output, (B, classes, H, W).
            targets: Of each output, (B, H, W) class indices, 255 for ignored pixels.
        """
        first, second = (logits[date].softmax(1) for date in self.dates)
        change = targets[self.change]
        known = change != IGNORED
        if self.distance == 'cosine':
            cosine = functional.cosine_similarity(first, second, dim=1)
            loss = torch.where(change == 0, 1 - cosine, cosine.clamp(min=0))
        else:
            loss = (first - second).square().mean(1) * (change == 0)
        return self.loss_weight * (loss * known).sum() / known.sum().clamp(min=1)


@MODELS.register_module()
class SeKLoss(nn.Module):
    r"""A differentiable form of the separated kappa, the loss of Mamba-FCS.

    With probabilities for counts, over the pixels with a land cover, which are the changed ones:

    .. math:: L = \max(0, -\log(\kappa e^{\beta m}) - \gamma \log m)

    :math:`\kappa` is Cohen's kappa and :math:`m` the IoU of the classes weighted by
    :math:`1 / \log(1 + n)` for n pixels, each the mean of both dates (``SeK_Loss`` in
    https://github.com/Buddhi19/MambaFCS, https://arxiv.org/abs/2508.08232).

    It differs from the published code where that has no finite or useful value. Classes without
    pixels in a batch have no weight, instead of nearly all of it. Below ``floor`` the first
    logarithm goes on as its tangent, because kappa may be negative or zero.

    Args:
        dates: Outputs with the land cover of the two dates.
        beta: Weight of the IoU in the exponent.
        gamma: Weight of the logarithm of the IoU.
        floor: Value from which on the first logarithm is exact.
        loss_weight: Weight of the loss; 0.5 in the published code.
        loss_name: Name in the log.
    """

    def __init__(
        self,
        dates: tuple[str, str] = ('semantic_from', 'semantic_to'),
        beta: float = 1.5,
        gamma: float = 0.5,
        floor: float = 0.1,
        loss_weight: float = 0.5,
        loss_name: str = 'loss_sek',
    ) -> None:
        super().__init__()
        self.dates, self.beta, self.gamma, self.floor = tuple(dates), beta, gamma, floor
        self.loss_weight, self.loss_name = loss_weight, loss_name

    def forward(self, logits: Maps, targets: Maps) -> Tensor:
        """Compute the loss, a scalar; 0 if no pixel has a land cover.

        Args:
            logits: Of each output, (B, classes, H, W).
            targets: Of each output, (B, H, W) class indices, 255 for pixels without a land cover.
        """
        values = [_kappa_and_iou(logits[date], targets[date]) for date in self.dates]
        values = [value for value in values if value is not None]
        if not values:  # keeps the graph, which distributed training needs
            return sum(logits[date].sum() for date in self.dates) * 0
        kappa, iou = torch.stack(values).mean(0)
        separated = kappa * torch.exp(self.beta * iou)
        loss = -_log(separated, self.floor) - self.gamma * torch.log(iou + 1e-6)
        return self.loss_weight * loss.clamp(min=0)


def _kappa_and_iou(logits: Tensor, targets: Tensor) -> Tensor | None:
    """Return kappa and weighted IoU of one date, (2,), or None if no pixel has a class."""
    there = targets != IGNORED
    if not there.any():
        return None
    found_NK = logits.softmax(1).movedim(1, -1)[there].float()
    true_NK = functional.one_hot(targets[there].long(), logits.shape[1]).to(found_NK)
    matrix_KK = found_NK.T @ true_NK / len(true_NK)
    found_K, true_K = matrix_KK.sum(1), matrix_KK.sum(0)
    hits_K = matrix_KK.diagonal()
    by_chance = (found_K * true_K).sum()
    kappa = (hits_K.sum() - by_chance) / (1 - by_chance + 1e-7)
    iou_K = hits_K / (found_K + true_K - hits_K).clamp(min=1e-7)
    pixels_K = true_NK.sum(0)
    weights_K = torch.where(pixels_K > 0, 1 / torch.log1p(pixels_K.clamp(min=1)), 0)
    return torch.stack([kappa, (iou_K * weights_K).sum() / weights_K.sum()])


def _log(value: Tensor, floor: float) -> Tensor:
    """Return the logarithm, below ``floor`` that of its tangent there."""
    tangent = torch.tensor(floor).log().to(value) + value / floor - 1
    return torch.where(value > floor, value.clamp(min=floor).log(), tangent)
