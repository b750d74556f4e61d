r"""DynamicVis as a model of torchgeo-bench (https://github.com/torchgeo/torchgeo-bench).

torchgeo-bench compares frozen models by nearest neighbors and probes on GEO-Bench. Copy this as
src/torchgeo_bench/conf/model/dynamicvis.yaml in its checkout:

    _target_: torchgeo_bench_model.DynamicVisBench
    weights: dynamicvis_tiny_1xb64-60e_eurosat-64px
    name: dynamicvis_tiny_eurosat

and run:

    PYTHONPATH=THIS_CHECKOUT/tools/benchmark torchgeo-bench run model=dynamicvis \
        dataset.names=[m-eurosat]
"""

from __future__ import annotations

from torch import Tensor
from torchgeo_bench.datasets.base import BandSpec
from torchgeo_bench.models.interface import BenchModel

from mmdynamicvis import DynamicVis, zoo

UINT8 = 'uint8'
"""torchgeo-bench's name of the only unit of the zoo's models; it divides such values by 255."""


class DynamicVisBench(BenchModel):
    """Weights of the zoo on the bands that they were trained on, found by their names.

    Args:
        bands: The channels of the dataset; torchgeo-bench gives them.
        weights: A name in :mod:`mmdynamicvis.zoo`.
        normalization: One of torchgeo-bench's strategies. The default uses the dataset's own mean
            and standard deviation, which suits any unit. 'model_native' is as in training for
            datasets of uint8; it shows Sentinel-2 darker than the training images, since it takes
            10,000 as white.
        name: Label in torchgeo-bench's results.

    Raises:
        ValueError: The dataset lacks a band of the weights, or they are in another unit than uint8;
            the message lists the bands.
    """

    def __init__(
        self,
        bands: list[BandSpec],
        weights: str,
        normalization: str = 'bandspec_zscore',
        name: str = 'dynamicvis',
    ) -> None:
        card = zoo.find(weights)
        if card.units != UINT8:
            raise ValueError(f'{weights} takes {card.units}; only {UINT8} is supported here')
        names = [band.name for band in bands]
        if missing := [band for band in card.bands if band not in names]:
            raise ValueError(
                f'{weights} needs the band {missing[0]}; the dataset has {", ".join(names)}'
            )
        self.expected_input_unit = UINT8
        self.pretrain_mean = [value / 255 for value in card.mean]
        self.pretrain_std = [value / 255 for value in card.std]
        places = [names.index(band) for band in card.bands]
        super().__init__([bands[place] for place in places], normalization)
        self.places = places
        self.name = name
        self.backbone = DynamicVis.from_pretrained(weights, out_type='featmap', out_indices=None)

    def normalize_inputs(self, images: Tensor) -> Tensor:
        """Take the bands of the weights from (B, C, H, W), and normalize them."""
        return super().normalize_inputs(images[:, self.places])

    def _forward_patch_features(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1].mean((2, 3))
