"""Necks that turn the feature maps of two dates into change features: FPN, fusion, U-Net decoder.

As in section 4.6 of the DynamicVis paper. The inputs are one sequence of feature maps per date, the
finest map first, so that the necks work with open-cd's ``SiamEncoderDecoder`` and ours, and with
more than two dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.backbones.unet import BasicConvBlock
from mmseg.models.utils import UpConvBlock
from torch import Tensor, nn

from mmdynamicvis.change_detection.date_mixer import DateMixer
from mmdynamicvis.registry import MODELS

Maps = Sequence[Tensor]


def _spread(maps: Maps) -> Tensor:
    """Return the maximum minus the minimum over dates; for two dates the absolute difference."""
    stack = torch.stack(tuple(maps))
    return stack.amax(0) - stack.amin(0)


FusionMode = Literal[
    'concat',
    'sum',
    'difference',
    'mamba_concat',
    'mamba_interleave',
    'mamba_side_by_side',
    'mamba_all',
]
_COMBINE = {'concat': lambda maps: torch.cat(tuple(maps), 1), 'sum': sum, 'difference': _spread}
_MAMBA_ORDERS = {
    'mamba_concat': ('concat',),
    'mamba_interleave': ('interleave',),
    'mamba_side_by_side': ('side_by_side',),
    'mamba_all': ('concat', 'interleave', 'side_by_side'),
}


class _MambaCombine(nn.Module):
    """Concatenates the maps that mixers of one or several orders return."""

    def __init__(self, channels: int, num_dates: int, mode: str) -> None:
        super().__init__()
        self.mixers = nn.ModuleList(
            DateMixer(channels, num_dates, order) for order in _MAMBA_ORDERS[mode]
        )
        self.num_maps = sum(mixer.num_maps for mixer in self.mixers)

    def forward(self, maps: Maps) -> Tensor:
        return torch.cat([mixed for mixer in self.mixers for mixed in mixer(maps)], 1)


@MODELS.register_module()
class PairFusion(BaseModule):
    """Fuses the dates at each level: combines their maps and applies a 1 x 1 convolution.

    The modes that begin with 'mamba' let the tokens of the dates exchange information in a Mamba
    mixer before the convolution, as in ChangeMamba (arXiv 2404.03425), see
    :class:`~mmdynamicvis.change_detection.date_mixer.DateMixer`. They work at any height and width.

    Args:
        channels: Number of channels of every map, and of the output.
        num_levels: Number of levels.
        mode: 'concat' is sensitive to the order of the dates. 'sum' and 'difference', abs(a - b) of
            two dates, are not: exchanging the dates gives the same maps. 'mamba_concat' mixes
            tokens whose channels are joined, 'mamba_interleave' maps whose columns alternate
            between the dates, 'mamba_side_by_side' maps next to each other, and 'mamba_all', which
            is ChangeMamba's decoder, concatenates the results of these three. All four are
            sensitive to the order.
        num_dates: Number of dates, not used by 'sum' and 'difference'.
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
        mode: FusionMode = 'concat',
        num_dates: int = 2,
        bias: bool | str = 'auto',
        norm_cfg: dict | None = dict(type='BN'),
        act_cfg: dict | None = dict(type='ReLU'),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if mode not in get_args(FusionMode):
            raise ValueError(f'mode is {mode!r}; choose one of {get_args(FusionMode)}')
        self.mode = mode
        in_channels = channels * num_dates if mode == 'concat' else channels
        self.mixers = None
        if mode in _MAMBA_ORDERS:
            self.mixers = nn.ModuleList(
                _MambaCombine(channels, num_dates, mode) for _ in range(num_levels)
            )
            in_channels = channels * self.mixers[0].num_maps
        self.convs = nn.ModuleList(
            ConvModule(in_channels, channels, 1, bias=bias, norm_cfg=norm_cfg, act_cfg=act_cfg)
            for _ in range(num_levels)
        )

    def forward(self, *dates: Maps) -> list[Tensor]:
        """Return one map (B, C, H, W) per level, given the maps of each date."""
        combines = self.mixers or [_COMBINE[self.mode]] * len(self.convs)
        levels = zip(*dates, strict=True)
        return [
            conv(combine(maps))
            for conv, combine, maps in zip(self.convs, combines, levels, strict=True)
        ]


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
        decoder: Config of the neck that decodes the fused maps; None for a head that decodes them
            itself, such as mmseg's ``Mask2FormerHead``.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        fpn: dict,
        fusion: dict,
        decoder: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.fpn = MODELS.build(fpn)
        self.fusion = MODELS.build(fusion)
        self.decoder = None if decoder is None else MODELS.build(decoder)

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
        fused = self.fusion(*pyramids)
        return fused if self.decoder is None else self.decoder(fused)

    def forward(self, *dates: Maps) -> list[Tensor]:
        """Return the change features, one map per level, the finest first.

        Args:
            dates: Feature maps of the backbone for each date, (B, C, H, W) per level.
        """
        return self.fuse(*self.pyramids(*dates))
