"""Necks that turn the feature maps of two dates into change features: FPN, fusion, U-Net decoder.

As in section 4.6 of the DynamicVis paper. The inputs are one sequence of feature maps per date, the
finest map first, so that the necks work with open-cd's ``SiamEncoderDecoder`` and ours, and with
more than two dates.
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
    """Return the maximum minus the minimum over dates; for two dates the absolute difference."""
    stack = torch.stack(tuple(maps))
    return stack.amax(0) - stack.amin(0)


_COMBINE = {'concat': lambda maps: torch.cat(tuple(maps), 1), 'sum': sum, 'difference': _spread}


@MODELS.register_module()
class PairFusion(BaseModule):
    """Fuses the dates at each level: combines their maps and applies a 1 x 1 convolution.

    Args:
        channels: Number of channels of every map, and of the output.
        num_levels: Number of levels.
        mode: 'concat' is sensitive to the order of the dates. 'sum' and 'difference', abs(a - b) of
            two dates, are not: exchanging the dates gives the same maps.
        num_dates: Number of dates, used by 'concat'.
        bias: Bias of the convolutions, as in mmcv's ``ConvModule``.
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
        """Return one map (B, C, H, W) per level, given the maps of each date."""
        combine = _COMBINE[self.mode]
        levels = zip(*dates, strict=True)
        return [conv(combine(maps)) for conv, maps in zip(self.convs, levels, strict=True)]


@MODELS.register_module()
class UNetDecoder(BaseModule):
    """U-Net decoder built from mmseg's blocks, from the coarsest map to the finest.

    Args:
        in_channels: Channels of the maps, the finest first; the outputs have the same channels.
        num_convs: Number of convolutions per level.
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
        """Return one map (B, C, H, W) per level, the finest first, in the sizes of the inputs."""
        outputs = [maps[-1]]
        for block, skip in zip(reversed(self.decoder), reversed(maps[:-1]), strict=True):
            height, width = skip.shape[-2:]
            # the coarser of two levels was rounded up if the finer has an odd size
            x = block.upsample(outputs[-1])[..., :height, :width]
            outputs.append(block.conv_block(torch.cat([skip, x], 1)))
        return outputs[::-1]


@MODELS.register_module()
class PairNeck(BaseModule):
    """The sequence of necks of the paper's change detection.

    Args:
        fpn: Config of a feature pyramid of a host, applied to all dates as one batch; weights of
            the pretraining's pyramid fit.
        fusion: Config of the neck that fuses the dates.
        decoder: Config of the neck that decodes the fused maps.
        init_cfg: As in mmengine.
    """

    def __init__(
        self, fpn: dict, fusion: dict, decoder: dict, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.fpn = MODELS.build(fpn)
        self.fusion = MODELS.build(fusion)
        self.decoder = MODELS.build(decoder)

    def pyramids(self, *dates: Maps) -> list[Maps]:
        """Return the feature pyramid of each date, before the dates are fused.

        Args:
            dates: Feature maps of the backbone for each date, (B, C, H, W) per level.
        """
        levels = self.fpn([torch.cat(maps) for maps in zip(*dates, strict=True)])
        # not chunk, with which torch.export would fix the batch size
        of_dates = [level.unflatten(0, (len(dates), -1)).unbind() for level in levels]
        return list(zip(*of_dates, strict=True))

    def fuse(self, *pyramids: Maps) -> list[Tensor]:
        """Return the change features of the dates' pyramids, one map per level."""
        return self.decoder(self.fusion(*pyramids))

    def forward(self, *dates: Maps) -> list[Tensor]:
        """Return the change features, one map per level, the finest first.

        Args:
            dates: Feature maps of the backbone for each date, (B, C, H, W) per level.
        """
        return self.fuse(*self.pyramids(*dates))
