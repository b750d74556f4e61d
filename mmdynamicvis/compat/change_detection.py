"""Published necks for change detection; ``compat/opencd.py`` registers those of open-cd.

Published checkpoints have ``neck.necks.{0,1,2}.*`` instead of our ``neck.{fpn,fusion,decoder}.*``:

==================================================  ===========================================
published                                           ours
==================================================  ===========================================
``necks.0.{lateral,fpn}_convs.*``                   ``fpn.{lateral,fpn}_convs.*``
``necks.1.layer{i}.0.*``, ``necks.1.layer{i}.1.*``  ``fusion.convs.{i}.conv.*``, ``.bn.*``
``necks.2.decoder.*``                               ``decoder.decoder.*``
``decode_head.convs.{i}``, the coarsest first       ``decode_head.convs.{i}``, the finest first
==================================================  ===========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.necks import FPN
from mmseg.registry import MODELS as MMSEG_MODELS
from torch import Tensor, nn

from mmdynamicvis.change_detection import PairFusion, UNetDecoder

Maps = Sequence[Tensor]


class DualInputsFPN(FPN):
    """mmseg's ``FPN`` on the maps of each of two dates, with the same parameter names."""

    def forward(self, x0: Maps, x1: Maps) -> tuple[Maps, Maps]:
        """Return the maps of both dates."""
        return super().forward(x0), super().forward(x1)


class DualInputsSimpleFusionNeck(PairFusion):
    """:class:`PairFusion` by concatenation, with biases before its norms.

    Args:
        in_channels: Channels of each level, the same for all.
        return_tuple: Return a tuple that holds the list of maps, because open-cd's
            ``SequentialNeck`` unpacks it into the arguments of the next neck.
        init_cfg: As in mmengine.

    Raises:
        ValueError: The levels have different channels.
    """

    def __init__(
        self, in_channels: Sequence[int], return_tuple: bool = False, init_cfg: dict | None = None
    ) -> None:
        if len(set(in_channels)) > 1:
            raise ValueError(f'in_channels is {in_channels}; all levels must have the same')
        super().__init__(in_channels[0], len(in_channels), bias=True, init_cfg=init_cfg)
        self.return_tuple = return_tuple
        # the public register_load_state_dict_pre_hook needs torch 2.5
        self._register_load_state_dict_pre_hook(_rename_fusion, with_module=True)

    def forward(self, x1: Maps, x2: Maps) -> list[Tensor] | tuple[list[Tensor]]:
        """Return one map per level."""
        maps = super().forward(x1, x2)
        return (maps,) if self.return_tuple else maps


def _rename_fusion(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *args: object
) -> None:
    for level in range(len(module.convs)):
        for published, ours in (('0', 'conv'), ('1', 'bn')):
            head = f'{prefix}layer{level}.{published}.'
            for name in [name for name in state_dict if name.startswith(head)]:
                renamed = f'{prefix}convs.{level}.{ours}.{name.removeprefix(head)}'
                state_dict[renamed] = state_dict.pop(name)


@MMSEG_MODELS.register_module()
class UNetDecodeNeck(UNetDecoder):
    """:class:`UNetDecoder` that returns the coarsest map first.

    Args:
        in_channels: Channels of the maps, the finest first.
        dec_num_convs: Number of convolutions per level, which must be the same for all.
        dec_dilations: Must be 1.
        with_cp: Must be False.
        conv_cfg: Must be None.
        norm_eval: Must be False.
        **kwargs: The other arguments of :class:`UNetDecoder`.

    Raises:
        ValueError: A value is not supported.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 256, 256, 256, 256),
        dec_num_convs: Sequence[int] = (2, 2, 2, 2),
        dec_dilations: Sequence[int] = (1, 1, 1, 1),
        with_cp: bool = False,
        conv_cfg: dict | None = None,
        norm_eval: bool = False,
        **kwargs: Any,
    ) -> None:
        if len(set(dec_num_convs)) > 1 or set(dec_dilations) != {1}:
            raise ValueError(
                f'dec_num_convs is {dec_num_convs}, dec_dilations {dec_dilations}; give equal '
                'numbers, and dilations of 1'
            )
        if with_cp or conv_cfg or norm_eval:
            raise ValueError('with_cp, conv_cfg and norm_eval are not supported: leave them out')
        super().__init__(in_channels, num_convs=dec_num_convs[0], **kwargs)

    def forward(self, enc_outs: Maps) -> list[Tensor]:
        """Return one map per level, the coarsest first."""
        return super().forward(enc_outs)[::-1]
