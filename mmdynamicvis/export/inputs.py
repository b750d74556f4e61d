"""What the images of an exported model are: bands, dates and normalization of a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.config import Config
from torch import Tensor, nn

from mmdynamicvis.engine.config import preprocessor_of, test_dataset, turns_channels, type_name

COLORS = ('red', 'green', 'blue')


@dataclass(frozen=True)
class Inputs:
    """Images of a model, as an exported file takes them: the dates stacked, each with its bands."""

    mean: list[float]
    """Of each channel, for the bands of all dates."""
    std: list[float]
    bands: list[int | str] | None
    """Bands of one date: names of colors, or numbers counted from 1; None for all of a raster."""
    dates: int
    turned: bool
    """Whether the network takes the channels of each date in reverse order."""

    def network(self, network: nn.Module) -> nn.Module:
        """Return a network that takes the channels in the order of the file."""
        return nn.Sequential(_Turn(self.dates), network) if self.turned else network


class _Turn(nn.Module):
    def __init__(self, dates: int) -> None:
        super().__init__()
        self.dates = dates

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.unflatten(1, (self.dates, -1)).flip(2).flatten(1, 2)


def read_inputs(cfg: Config) -> Inputs:
    """Return what images a config's model takes.

    Files of three colors are loaded as B, G, R; an exported file takes R, G, B. Bands of a
    ``LoadGeoTIFF`` keep its order.

    Raises:
        ValueError: The data preprocessor has the statistics of another number of bands.
    """
    loader, dates = _loader(cfg)
    settings = preprocessor_of(cfg)
    n_bands = cfg.model.backbone.get('in_channels', 3)
    raster = type_name(loader) == 'LoadGeoTIFF' or n_bands != 3
    turned = turns_channels(settings) == raster

    def of_all_dates(name: str, default: float) -> list[float]:
        numbers = list(settings.get(name) or [default])
        if len(numbers) == 1:  # of every band
            numbers *= n_bands
        if len(numbers) == n_bands:
            numbers *= dates
        if len(numbers) != n_bands * dates:
            raise ValueError(
                f'the {name} of the data preprocessor of {cfg.filename} has {len(numbers)} '
                f'numbers, and the model takes {n_bands} bands of {dates} date(s)'
            )
        return _turn(numbers, dates) if turned else numbers

    bands = loader.get('bands') if raster else COLORS
    mean, std = of_all_dates('mean', 0.0), of_all_dates('std', 1.0)
    return Inputs(mean, std, None if bands is None else list(bands), dates, turned)


def _turn(numbers: Sequence[float], dates: int) -> list[float]:
    length = len(numbers) // dates
    return [
        number
        for start in range(0, len(numbers), length)
        for number in reversed(numbers[start : start + length])
    ]


def _loader(cfg: Config) -> tuple[dict, int]:
    """Return the transform that loads an image in a config's test, and the number of dates."""
    pipeline = (test_dataset(cfg).get('pipeline') or ()) if 'test_dataloader' in cfg else ()
    first = pipeline[0] if pipeline else dict(type='LoadImageFromFile')
    if type_name(first) == 'LoadPair':
        return first.get('loader', dict(type='LoadIntactImage')), len(
            first.get('keys', ('img_path', 'img_path2'))
        )
    return first, 2 if type_name(first) == 'MultiImgLoadImageFromFile' else 1
