"""Neck that fuses the maps of several modalities, some of which may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdynamicvis.models.modalities import ModalityMaps, MultiModalFeatures
from mmdynamicvis.models.resampling import resample
from mmdynamicvis.registry import MODELS

Dates = Literal['mean', 'attention']


@MODELS.register_module()
class ModalityNeck(BaseModule):
    r"""Fuses the maps of the modalities of each sample to one map per level.

    At each level, the maps of a modality are merged over the dates of a sample and resampled to the
    grid of the level. With the adapter :math:`A_m` and the layer norm :math:`LN_m` of each modality
    m in the set P of those that the sample has, the fused map is

    .. math:: y = W \frac{1}{\sqrt{|P|}} \sum_{m \in P} LN_m(A_m f_m) + b

    A sample may lack any modalities but one. In training, modalities of a sample are dropped at
    random, so that the model learns to do without them. The grid of a level covers the footprint of
    the batch, which all samples and modalities share.

    Args:
        in_channels: Channels of the maps of each level.
        modalities: Names of the modalities.
        cells: Edge in meters of the cells of each level.
        out_channels: Channels of the outputs, one number or one per level; by default those of the
            inputs.
        drop: Probability of dropping a modality of a sample in training. If all modalities of a
            sample would be dropped, a random one is kept.
        dates: 'mean' averages the dates of a sample. 'attention' weights them in each cell by the
            softmax over dates of a learned linear score, which starts as the mean. Both ignore the
            order of the dates.
        init_cfg: Initialization of mmengine.

    Raises:
        ValueError: There is no modality, one is repeated, the numbers of levels differ, or an
            argument is out of range.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        modalities: Sequence[str],
        cells: Sequence[float],
        out_channels: int | Sequence[int] | None = None,
        drop: float = 0.3,
        dates: Dates = 'mean',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_channels is None:
            out_channels = in_channels
        if isinstance(out_channels, int):
            out_channels = [out_channels] * len(in_channels)
        if isinstance(modalities, str) or not modalities or len({*modalities}) < len(modalities):
            raise ValueError(f'modalities is {modalities!r}; name every modality once')
        if not len(in_channels) == len(cells) == len(out_channels) > 0:
            raise ValueError(
                f'in_channels {tuple(in_channels)}, cells {tuple(cells)} and out_channels '
                f'{tuple(out_channels)} need one entry per level'
            )
        if not all(0 < cell < float('inf') for cell in cells):
            raise ValueError(f'cells is {tuple(cells)}; give the edges of cells in meters')
        if not 0 <= drop < 1:
            raise ValueError(f'drop is {drop}; it must lie in [0, 1)')
        if dates not in get_args(Dates):
            raise ValueError(f'dates is {dates!r}; choose one of {get_args(Dates)}')
        self.modalities = tuple(modalities)
        self.in_channels = tuple(in_channels)
        self.out_channels = tuple(out_channels)
        self.cells = tuple(cells)
        self.drop = drop
        channels = list(zip(in_channels, out_channels, strict=True))
        self.adapters = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.Sequential(nn.Linear(i, o), nn.LayerNorm(o)) for i, o in channels
                )
                for name in modalities
            }
        )
        self.projections = nn.ModuleList(nn.Linear(o, o) for o in out_channels)
        self.date_scores = None
        if dates == 'attention':
            # no bias, which the softmax would cancel; no nn.Linear, which init_cfg might change
            self.date_scores = nn.ModuleDict(
                {
                    name: nn.ParameterList(nn.Parameter(torch.zeros(i)) for i in in_channels)
                    for name in modalities
                }
            )

    def forward(self, features: MultiModalFeatures) -> tuple[Tensor, ...]:
        """Return one fused map (B, C_i, H_i, W_i) per level, channels last in memory.

        Raises:
            TypeError: The features are not those of a backbone for several modalities.
            ValueError: A sample has no modality, a modality is unknown, or the number of levels is
                not that of the neck.
        """
        present_BM = self.drop_modalities(self.present(features))
        return tuple(
            self.fuse(self.align(features, level), present_BM, level)
            for level in range(len(self.cells))
        )

    def present(self, features: MultiModalFeatures) -> Tensor:
        """Check the features; return which modalities each sample has, (B, M) bool.

        Raises:
            TypeError: See :meth:`forward`.
            ValueError: See :meth:`forward`.
        """
        self._check(features)
        device = next(iter(features.maps.values())).samples.device
        present_BM = torch.zeros(
            features.size, len(self.modalities), dtype=torch.bool, device=device
        )
        for name, maps in features.maps.items():
            column_B = torch.zeros_like(present_BM[:, 0]).index_fill(0, maps.samples, True)
            present_BM[:, self.modalities.index(name)] = column_B
        if not torch.compiler.is_compiling():
            without = (~present_BM.any(1)).nonzero().flatten().tolist()
            if without:
                raise ValueError(
                    f'sample {without[0]} of the batch of {features.size} has no image of any '
                    f'modality; the neck knows {", ".join(self.modalities)}'
                )
        return present_BM

    def _check(self, features: MultiModalFeatures) -> None:
        if not isinstance(features, MultiModalFeatures):
            raise TypeError(
                f'ModalityNeck got {type(features).__name__}: it fuses the MultiModalFeatures that '
                'MultiModalDynamicVis returns for a MultiModalBatch; leave the neck out for plain '
                'images'
            )
        unknown = sorted(features.maps.keys() - {*self.modalities})
        if unknown:
            raise ValueError(
                f'the backbone returned {", ".join(unknown)}, but the modalities of the neck are '
                f'{", ".join(self.modalities)}'
            )
        if not features.maps:
            raise ValueError(f'no sample of the batch of {features.size} has any modality')
        for name, maps in features.maps.items():
            if len(maps.levels) != len(self.cells):
                raise ValueError(
                    f'{name} has {len(maps.levels)} levels, but the neck has {len(self.cells)}: '
                    "set the backbone's out_indices and the neck's in_channels and cells alike"
                )
            channels = tuple(level.shape[1] for level in maps.levels)
            if channels != self.in_channels:
                raise ValueError(
                    f'{name} has levels of {channels} channels, but in_channels of the neck is '
                    f'{self.in_channels}'
                )
            if torch.compiler.is_compiling():
                continue
            if maps.samples.min() < 0 or maps.samples.max() >= features.size:
                raise ValueError(
                    f'{name} has images of the samples {maps.samples.tolist()}, but the batch has '
                    f'{features.size}: give 0 to {features.size - 1}'
                )

    def drop_modalities(self, present_BM: Tensor) -> Tensor:
        """Return the modalities to use, (B, M) bool: in training, drop some of those present."""
        if not self.training or not self.drop:
            return present_BM
        draw_BM = torch.rand(present_BM.shape, device=present_BM.device)
        draw_BM = draw_BM.masked_fill(~present_BM, -1)
        # the largest draw of a sample is kept whatever it is, so that one is left
        return (draw_BM >= self.drop) | (draw_BM == draw_BM.amax(1, keepdim=True))

    def align(self, features: MultiModalFeatures, level: int) -> dict[str, Tensor]:
        """Merge the dates of a level and resample to its grid.

        Returns:
            Name of each modality in the batch -> maps (B, H_i, W_i, C_i); zero for samples without
            it.
        """
        height, width = _footprint(features)
        cell = self.cells[level]
        grid = (max(round(height / cell), 1), max(round(width / cell), 1))
        aligned = {}
        for name in self.modalities:
            if name in features.maps:
                maps = features.maps[name]
                x_BHWC = self._merge_dates(name, maps, level, features.size)
                aligned[name] = resample(x_BHWC, maps.cells[level], grid, cell)
        return aligned

    def _merge_dates(self, name: str, maps: ModalityMaps, level: int, size: int) -> Tensor:
        x_NHWC = maps.levels[level].permute(0, 2, 3, 1)
        if self.date_scores is None:
            return mean_over_dates(x_NHWC, maps.samples, size)
        scores_NHW1 = (x_NHWC @ self.date_scores[name][level])[..., None]
        scores_NHW1 = scores_NHW1.to(torch.promote_types(scores_NHW1.dtype, torch.float32))
        weights_NHW1 = _softmax_over_dates(scores_NHW1, maps.samples, size)
        return _sum_over_dates(x_NHWC * weights_NHW1.to(x_NHWC.dtype), maps.samples, size)

    def fuse(self, aligned: dict[str, Tensor], present_BM: Tensor, level: int) -> Tensor:
        """Fuse the aligned maps of a level.

        Args:
            aligned: Result of :meth:`align`.
            present_BM: Modalities to use, (B, M) bool, at least one per sample.
            level: Index of the level.

        Returns:
            Map (B, C_i, H_i, W_i).
        """
        total = 0
        for m, name in enumerate(self.modalities):
            if name in aligned:
                adapted_BHWC = self.adapters[name][level](aligned[name])
                total = total + torch.where(present_BM[:, m, None, None, None], adapted_BHWC, 0)
        z_BHWC = total / present_BM.sum(1).to(total.dtype).sqrt()[:, None, None, None]
        if self.training:
            z_BHWC = z_BHWC + self._zero_of_absent(aligned)
        return self.projections[level](z_BHWC).permute(0, 3, 1, 2)

    def _zero_of_absent(self, aligned: dict[str, Tensor]) -> Tensor | float:
        """Return 0, with zero gradients for modalities that the batch lacks.

        Other processes may have them, and DistributedDataParallel waits for every gradient.
        """
        parts = [self.adapters] if self.date_scores is None else [self.adapters, self.date_scores]
        return sum(
            0 * parameter.sum()
            for part in parts
            for name in self.modalities
            if name not in aligned
            for parameter in part[name].parameters()
        )


def mean_over_dates(x_N: Tensor, samples: Tensor, size: int) -> Tensor:
    """Return the mean (B, ...) of the rows (N, ...) of each sample; zero without rows.

    Args:
        x_N: Any rows, floating.
        samples: (N,) int64, the sample of each row.
        size: Number of samples B.
    """
    counts_B = _sum_over_dates(x_N.new_ones(len(samples)), samples, size).clamp(min=1)
    return _sum_over_dates(x_N, samples, size) / counts_B.view(-1, *[1] * (x_N.dim() - 1))


def _sum_over_dates(x_N: Tensor, samples: Tensor, size: int) -> Tensor:
    return x_N.new_zeros(size, *x_N.shape[1:]).index_add(0, samples, x_N)


def _softmax_over_dates(scores_NHW1: Tensor, samples: Tensor, size: int) -> Tensor:
    """Return the softmax of scores over the rows of each sample, in each cell."""
    rows = samples.view(-1, 1, 1, 1).expand_as(scores_NHW1)
    largest_BHW1 = scores_NHW1.new_full((size, *scores_NHW1.shape[1:]), -torch.inf)
    largest_BHW1 = largest_BHW1.scatter_reduce(0, rows, scores_NHW1.detach(), 'amax')
    weights_NHW1 = (scores_NHW1 - largest_BHW1[samples]).exp()
    return weights_NHW1 / _sum_over_dates(weights_NHW1, samples, size)[samples]


def _footprint(features: MultiModalFeatures) -> tuple[float, float]:
    """Return the height and width in meters that the maps cover.

    Merging rounds the number of cells up, so the smallest extent of all maps is the nearest.
    """
    extents = [
        (level.shape[2] * cell, level.shape[3] * cell)
        for maps in features.maps.values()
        for level, cell in zip(maps.levels, maps.cells, strict=True)
    ]
    heights, widths = zip(*extents, strict=True)
    return min(heights), min(widths)
