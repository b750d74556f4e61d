"""From the maps of two dates to maps of change (paper sec. 4.6): pyramid, fusion, U-Net.

All take one sequence of maps per date, the finest map first, so that they serve open-cd's
``SiamEncoderDecoder`` and ours, and more than two dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.backbones.unet import BasicConvBlock
from mmseg.models.utils import UpConvBlock
from torch import Tensor, nn

from mmdynamicvis.registry import MODELS

Maps = Sequence[Tensor]


def _spread(maps: Maps) -> Tensor:
    """Return the largest value less the smallest; of two dates the absolute difference."""
    stack = torch.stack(tuple(maps))
    return stack.amax(0) - stack.amin(0)


_COMBINE = {'concat': lambda maps: torch.cat(tuple(maps), 1), 'sum': sum, 'difference': _spread}


@MODELS.register_module()
class PairFusion(BaseModule):
    """Joins the dates level by level: combines their maps, then a 1 x 1 convolution.

    Args:
        channels: Channels of every map, and of the output.
        num_levels: Number of levels.
        mode: 'concat' knows the order of the dates. 'sum' and 'difference' (of two dates
            |a - b|) do not: exchanging the dates gives the same maps.
        num_dates: Number of dates; for 'concat'.
        bias: Of the convolutions, as in mmcv's ``ConvModule``.
        norm_cfg: Norm after each convolution.
        act_cfg: Activation after each norm.
        init_cfg: As in mmengine.

    Raises:
        ValueError: The mode is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_levels: int,
        mode: Literal['concat', 'sum', 'difference'] = 'concat',
        num_dates: int = 2,
        bias: bool | str = 'auto',
        norm_cfg: dict | None = dict(type='BN'),
        act_cfg: dict | None = dict(type='ReLU'),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if mode not in _COMBINE:
            raise ValueError(f'mode is {mode!r}; choose one of {sorted(_COMBINE)}')
        self.mode = mode
        in_channels = channels * num_dates if mode == 'concat' else channels
        self.convs = nn.ModuleList(
            ConvModule(in_channels, channels, 1, bias=bias, norm_cfg=norm_cfg, act_cfg=act_cfg)
            for _ in range(num_levels)
        )

    def forward(self, *dates: Maps) -> list[Tensor]:
        """Return one map per level, each (B, C, H, W)."""
        combine = _COMBINE[self.mode]
        levels = zip(*dates, strict=True)
        return [conv(combine(maps)) for conv, maps in zip(self.convs, levels, strict=True)]


@MODELS.register_module()
class UNetDecoder(BaseModule):
    """A U-Net's decoder of mmseg's blocks: from the coarsest map up, each joined to the next finer.

    Args:
        in_channels: Channels of the maps, the finest first; the output has the same.
        num_convs: Convolutions per level.
        norm_cfg: Norm of all convolutions.
        act_cfg: Activation of all convolutions.
        upsample_cfg: Layer that doubles height and width.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_convs: int = 2,
        norm_cfg: dict | None = dict(type='BN'),
        act_cfg: dict | None = dict(type='ReLU'),
        upsample_cfg: dict = dict(type='mmseg.InterpConv'),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.decoder = nn.ModuleList(
            UpConvBlock(
                BasicConvBlock,
                in_channels=coarse,
                skip_channels=fine,
                out_channels=fine,
                num_convs=num_convs,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
                upsample_cfg=upsample_cfg,
            )
            for fine, coarse in pairwise(in_channels)
        )

    def forward(self, maps: Maps) -> list[Tensor]:
        """Return one map per level, the finest first, of the sizes of the input."""
        outputs = [maps[-1]]
        for block, skip in zip(reversed(self.decoder), reversed(maps[:-1]), strict=True):
            height, width = skip.shape[-2:]
            # levels of odd sizes were rounded up
            x = block.upsample(outputs[-1])[..., :height, :width]
            outputs.append(block.conv_block(torch.cat([skip, x], 1)))
        return outputs[::-1]


@MODELS.register_module()
class PairNeck(BaseModule):
    """The necks of the paper's change detection in a row.

    Args:
        fpn: Feature pyramid, applied to all dates as one batch; a host's, so that the
            pretraining's fits.
        fusion: Joins the dates.
        decoder: Works on the joined maps.
        init_cfg: As in mmengine.
    """

    def __init__(
        self, fpn: dict, fusion: dict, decoder: dict, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.fpn = MODELS.build(fpn)
        self.fusion = MODELS.build(fusion)
        self.decoder = MODELS.build(decoder)

    def forward(self, *dates: Maps) -> list[Tensor]:
        """Return the maps of change, the finest first.

        Args:
            dates: The backbone's maps of each date.
        """
        levels = self.fpn([torch.cat(maps) for maps in zip(*dates, strict=True)])
        chunks = [level.chunk(len(dates)) for level in levels]
        return self.decoder(self.fusion(*zip(*chunks, strict=True)))
