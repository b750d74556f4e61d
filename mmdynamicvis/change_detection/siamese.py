"""A siamese segmentor for change detection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from mmdynamicvis.change_detection.modality_dates import dates_as_samples
from mmdynamicvis.models.modalities import MultiModalBatch
from mmdynamicvis.registry import MODELS

NUM_DATES = 2
"""Of images of several modalities."""


@MODELS.register_module()
class SiameseEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with a shared backbone for the stacked images of several dates.

    Arguments and parameter names are those of open-cd's ``SiamEncoderDecoder``; here all dates go
    through the backbone as one batch.

    With ``modality_neck``, the inputs are a
    :class:`~mmdynamicvis.models.modalities.MultiModalBatch`, whose images of a sample are its
    dates: of one resolution each, or of other sensors before and after an event.

    Args:
        backbone: Config of the backbone, applied to each image.
        decode_head: Config of a head of mmseg, applied to the output of the neck.
        neck: Config of a neck that takes one sequence of maps per date, such as ``PairNeck``.
        backbone_inchannels: Number of channels of one image.
        modality_neck: Config of a neck that fuses the modalities of each date, such as
            ``ModalityNeck``, for a backbone of several modalities.
        dates: Modality -> the dates that its images show, counted from 0. By default, each has an
            image of both dates.
        **kwargs: Further arguments of mmseg's class.

    Raises:
        ValueError: There is no neck, or ``dates`` without ``modality_neck``.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        backbone_inchannels: int = 3,
        modality_neck: dict | None = None,
        dates: Mapping[str, Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        if neck is None:
            raise ValueError('neck is None; a neck such as mmdynamicvis.PairNeck joins the dates')
        if dates and modality_neck is None:
            raise ValueError(
                f'dates is {dates}, of modalities: give modality_neck, such as '
                'mmdynamicvis.ModalityNeck'
            )
        super().__init__(backbone=backbone, decode_head=decode_head, neck=neck, **kwargs)
        self.backbone_inchannels = backbone_inchannels
        self.modality_neck = None if modality_neck is None else MODELS.build(modality_neck)
        self.dates = dates

    def loss(self, inputs: Tensor | MultiModalBatch, data_samples: list) -> dict[str, Tensor]:
        """Return the losses of the heads, and ``loss_balance`` of a backbone with experts."""
        return super().loss(inputs, data_samples) | self._balance_loss()

    def _balance_loss(self) -> dict[str, Tensor]:
        """Return the loss that balances the experts of the backbone, if it has any."""
        loss = getattr(self.backbone, 'balance_loss', None)
        return {} if loss is None else {'loss_balance': loss}

    def extract_feat(self, inputs: Tensor | MultiModalBatch) -> list[Tensor]:
        """Return the change features of the neck, one map per level.

        Args:
            inputs: As for :meth:`extract_dates`.
        """
        return self.neck(*self.extract_dates(inputs))

    def extract_dates(self, inputs: Tensor | MultiModalBatch) -> list[tuple[Tensor, ...]]:
        """Return the backbone's maps of each date, one per level.

        Args:
            inputs: (B, dates x channels, H, W), or a batch of modalities.

        Raises:
            TypeError: The inputs are of several modalities and there is no ``modality_neck``, or
                the other way round.
            ValueError: The number of channels, or of images of a modality, does not match two or
                more dates.
        """
        if isinstance(inputs, MultiModalBatch) == (self.modality_neck is None):
            raise TypeError(
                f'inputs are a {type(inputs).__name__}, and modality_neck is '
                f'{type(self.modality_neck).__name__}: a neck fuses the modalities of a '
                'MultiModalBatch, and plain images need none'
            )
        if isinstance(inputs, MultiModalBatch):
            batch = dates_as_samples(inputs, NUM_DATES, self.dates)
            return _of_dates(self.modality_neck(self.backbone(batch)), NUM_DATES)
        num_dates, rest = divmod(inputs.shape[1], self.backbone_inchannels)
        if rest or num_dates < 2:
            raise ValueError(
                f'inputs have {inputs.shape[1]} channels, not those of two images of '
                f'{self.backbone_inchannels}: load them by LoadPair, or set backbone_inchannels'
            )
        images = torch.cat(inputs.split(self.backbone_inchannels, dim=1))
        return _of_dates(self.backbone(images), num_dates)


def _of_dates(levels: Iterable[Tensor], num_dates: int) -> list[tuple[Tensor, ...]]:
    """Split the maps of all dates, the first date first, (dates x B, C, H, W) per level."""
    # not chunk, with which torch.export would fix the batch size
    split = [level.unflatten(0, (num_dates, -1)).unbind() for level in levels]
    return list(zip(*split, strict=True))
