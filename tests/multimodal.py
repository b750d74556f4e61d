"""Stand-ins of the backbone and the neck for several modalities, with their interface."""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from mmdynamicvis.models.modalities import ModalityMaps, MultiModalBatch, MultiModalFeatures


@MODELS.register_module()
class StandInBackbone(nn.Module):
    """A convolution of one pixel per modality, and means over 4, 8, 16 and 32 pixels.

    Args:
        modalities: Modality -> ``bands`` and what else the backbone takes.
        out_indices: Levels to return.
        channels: Channels of all levels.
    """

    def __init__(
        self,
        modalities: dict[str, dict],
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        channels: int = 8,
    ) -> None:
        super().__init__()
        self.strides = [4 * 2**i for i in out_indices]
        self.stems = nn.ModuleDict(
            {name: nn.Conv2d(len(of['bands']), channels, 1) for name, of in modalities.items()}
        )

    def forward(self, batch: MultiModalBatch) -> MultiModalFeatures:
        maps = {}
        for name, images in batch.images.items():
            fine = self.stems[name](images.pixels)
            levels = tuple(avg_pool2d(fine, s, s, ceil_mode=True) for s in self.strides)
            cells = tuple(images.gsd * s for s in self.strides)
            maps[name] = ModalityMaps(levels, cells, images.samples)
        return MultiModalFeatures(maps, batch.size)


@MODELS.register_module()
class StandInNeck(nn.Module):
    """The sum of all maps of a sample, on the grid of the first modality."""

    def forward(self, features: MultiModalFeatures) -> tuple[Tensor, ...]:
        first = next(iter(features.maps.values()))
        levels = []
        for i, level in enumerate(first.levels):
            total = level.new_zeros(features.size, *level.shape[1:])
            for maps in features.maps.values():
                total.index_add_(
                    0, maps.samples, adaptive_avg_pool2d(maps.levels[i], level.shape[-2:])
                )
            levels.append(total)
        return tuple(levels)
