"""The model for torchgeo-bench, in a stand-in of the interface that its documentation describes."""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmdynamicvis.embedding import Embedder

WEIGHTS = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'


@dataclass(frozen=True)
class BandSpec:
    """A channel of a dataset."""

    name: str
    mean: float
    std: float


class BenchModel(nn.Module, ABC):
    """Normalizes raw values by the dataset, or, where they are of uint8, by the model."""

    expected_input_unit: str | None = None
    pretrain_mean: list[float] | None = None
    pretrain_std: list[float] | None = None

    def __init__(self, bands: list[BandSpec], normalization: str = 'bandspec_zscore') -> None:
        super().__init__()
        self.bands, self.num_channels, self.normalization = bands, len(bands), normalization

    def normalize_inputs(self, images: Tensor) -> Tensor:
        if self.normalization == 'model_native':
            assert self.expected_input_unit == 'uint8'
            images, mean, std = images / 255, self.pretrain_mean, self.pretrain_std
        else:
            mean, std = zip(*((band.mean, band.std) for band in self.bands), strict=True)
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
        return (images - mean) / std

    @abstractmethod
    def _forward_patch_features(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self._forward_patch_features(self.normalize_inputs(images))


@pytest.fixture
def bench(checkout, monkeypatch):
    """The class, imported beside the stand-in."""
    contents = {
        'torchgeo_bench': {},
        'torchgeo_bench.datasets': {},
        'torchgeo_bench.datasets.base': {'BandSpec': BandSpec},
        'torchgeo_bench.models': {},
        'torchgeo_bench.models.interface': {'BenchModel': BenchModel},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    monkeypatch.delitem(sys.modules, 'torchgeo_bench_model', raising=False)
    yield importlib.import_module('torchgeo_bench_model').DynamicVisBench
    sys.modules.pop('torchgeo_bench_model')


BANDS = [BandSpec(name, 100.0, 50.0) for name in ('nir', 'blue', 'green', 'red')]


def test_features_are_those_of_the_embedder(bench):
    values = np.random.default_rng(0).integers(256, size=(2, 4, 64, 64))
    model = bench(BANDS, WEIGHTS, normalization='model_native').eval()
    with torch.no_grad():
        features = model(torch.from_numpy(values).float())
    images = [image[[3, 2, 1]].transpose(1, 2, 0).astype(np.uint8) for image in values]
    expected = torch.as_tensor(Embedder(WEIGHTS, device='cpu')(images))
    assert torch.allclose(features, expected, atol=1e-4)


def test_the_datasets_statistics_are_those_of_the_bands_that_are_taken(bench):
    model = bench([BandSpec('nir', 1.0, 1.0), *BANDS[1:]], WEIGHTS)
    assert [band.name for band in model.bands] == ['red', 'green', 'blue']
    normalized = model.normalize_inputs(torch.full((1, 4, 2, 2), 150.0))
    assert normalized.shape == (1, 3, 2, 2) and bool((normalized == 1).all())


def test_a_band_that_is_missing_is_named(bench):
    with pytest.raises(ValueError, match='needs the band red; the dataset has nir, blue, green'):
        bench(BANDS[:3], WEIGHTS)
