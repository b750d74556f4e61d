"""A siamese segmentor for change detection."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class SiameseEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with a shared backbone for the stacked images of several dates.

    Arguments and parameter names are those of open-cd's ``SiamEncoderDecoder``; here all dates go
    through the backbone as one batch.

    Args:
        backbone: Config of the backbone, applied to each image.
        decode_head: Config of a head of mmseg, applied to the output of the neck.
        neck: Config of a neck that takes one sequence of maps per date, such as ``PairNeck``.
        backbone_inchannels: Number of channels of one image.
        **kwargs: Further arguments of mmseg's class.

    Raises:
        ValueError: There is no neck.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        backbone_inchannels: int = 3,
        **kwargs: Any,
    ) -> None:
        if neck is None:
            raise ValueError('neck is None; a neck such as mmdynamicvis.PairNeck joins the dates')
        super().__init__(backbone=backbone, decode_head=decode_head, neck=neck, **kwargs)
        self.backbone_inchannels = backbone_inchannels

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Return the change features of the neck, one map per level.

        Args:
            inputs: (B, dates x channels, H, W).
        """
        return self.neck(*self.extract_dates(inputs))

    def extract_dates(self, inputs: Tensor) -> list[tuple[Tensor, ...]]:
        """Return the backbone's maps of each date, one per level.

        Args:
            inputs: (B, dates x channels, H, W).

        Raises:
            ValueError: The number of channels does not match two or more images.
        """
        num_dates, rest = divmod(inputs.shape[1], self.backbone_inchannels)
        if rest or num_dates < 2:
            raise ValueError(
                f'inputs have {inputs.shape[1]} channels, not those of two images of '
                f'{self.backbone_inchannels}: load them by LoadPair, or set backbone_inchannels'
            )
        images = torch.cat(inputs.split(self.backbone_inchannels, dim=1))
        # not chunk, with which torch.export would fix the batch size
        levels = [level.unflatten(0, (num_dates, -1)).unbind() for level in self.backbone(images)]
        return list(zip(*levels, strict=True))
