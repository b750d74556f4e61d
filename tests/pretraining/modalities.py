"""Small pretrainers on several modalities, a stand-in for their backbone, and batches."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdynamicvis.models.modalities import (
    ModalityImages,
    ModalityMaps,
    MultiModalBatch,
    MultiModalFeatures,
)
from mmdynamicvis.registry import MODELS

SENSORS = {
    'rgb': dict(bands=('red', 'green', 'blue'), gsd=2.5),
    's2': dict(bands=('B02', 'B03', 'B04', 'B08'), gsd=10.0),
    's1': dict(bands=('VV', 'VH'), gsd=20.0),
}
CELLS = {'rgb': 10.0, 's2': 10.0, 's1': 20.0}
CHANNELS = 8
EXTENT = (60, 80)  # meters


class Backbone(BaseModule):
    """One strided convolution per modality, then one shared 3 x 3 convolution."""

    def __init__(self, modalities: dict) -> None:
        super().__init__()
        self.strides = {name: round(CELLS[name] / m['gsd']) for name, m in modalities.items()}
        self.tokenizers = nn.ModuleDict(
            {
                name: nn.Conv2d(len(m['bands']), CHANNELS, self.strides[name], self.strides[name])
                for name, m in modalities.items()
            }
        )
        self.shared = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, batch: MultiModalBatch) -> MultiModalFeatures:
        self.seen = batch
        maps = {}
        for name, images in batch.images.items():
            x = self.shared(self.tokenizers[name](images.pixels).tanh())
            maps[name] = ModalityMaps((x,), (images.gsd * self.strides[name],), images.samples)
        return MultiModalFeatures(maps, batch.size)


def config(**kwargs: object) -> dict:
    return dict(
        type='mmdynamicvis.ModalityPretrainer',
        backbone=dict(type=Backbone, modalities=SENSORS),
        neck=dict(
            type='mmdynamicvis.ModalityNeck',
            in_channels=(CHANNELS,),
            modalities=tuple(SENSORS),
            cells=(10.0,),
            drop=0.0,
            dates='attention',
        ),
        **{'hidden_size': 1, 'embed_dims': 6, 'target_dims': 16, **kwargs},
    )


def build(**kwargs: object) -> nn.Module:
    """Build a model, the same every time."""
    torch.manual_seed(0)
    return MODELS.build(config(**kwargs))


def make(samples: dict[str, list[int]], size: int, seed: int = 0, dtype=None) -> MultiModalBatch:
    """Return random images of one footprint; ``samples`` maps names to the samples of the rows."""
    generator = torch.Generator().manual_seed(seed)
    images = {}
    for name, rows in samples.items():
        sensor = SENSORS[name]
        shape = [int(extent / sensor['gsd']) for extent in EXTENT]
        pixels = torch.randn(len(rows), len(sensor['bands']), *shape, generator=generator)
        images[name] = ModalityImages(pixels.to(dtype), torch.tensor(rows), sensor['gsd'])
    return MultiModalBatch(images, size)


def part(batch: MultiModalBatch, first: int, last: int) -> MultiModalBatch:
    """Return the samples from first to last - 1; modalities that they lack have no entry."""
    images = {}
    for name, whole in batch.images.items():
        own = (whole.samples >= first) & (whole.samples < last)
        if own.any():
            images[name] = whole._replace(
                pixels=whole.pixels[own], samples=whole.samples[own] - first
            )
    return MultiModalBatch(images, last - first)


def fix_hidden(model: nn.Module, batch: MultiModalBatch, first: int = 0, seed: int = 1) -> Tensor:
    """Hide pixels drawn once for a whole batch; the model gets its samples from ``first`` on."""
    torch.manual_seed(seed)
    hidden = {name: model.draw_hidden(batch, name) for name in batch.images}
    model.draw_hidden = lambda own, name: hidden[name][first : first + own.size]
    return hidden
