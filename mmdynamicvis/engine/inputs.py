"""What images a config's model takes: bands, dates and normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmengine.config import Config
from torch import Tensor, nn

from mmdynamicvis.band_names import spelling
from mmdynamicvis.engine.config import preprocessor_of, test_dataset, turns_channels, type_name

COLORS = ('red', 'green', 'blue')


@dataclass(frozen=True)
class Inputs:
    """Images as a user gives them: the dates stacked, each with its bands; colors as R, G, B."""

    mean: list[float]
    """Of each channel, for the bands of all dates."""
    std: list[float]
    bands: list[int | str] | None
    """Bands of one date: names of colors, or numbers counted from 1; None for all of a raster."""
    dates: int
    turned: bool
    """Whether the network takes the channels of each date in reverse order."""

    def of_one_date(self) -> Inputs:
        """Return the images of the first date."""
        length = len(self.mean) // self.dates
        return replace(self, mean=self.mean[:length], std=self.std[:length], dates=1)

    def network(self, network: nn.Module) -> nn.Module:
        """Return a network that takes the channels in the order of the user."""
        return nn.Sequential(_Turn(self.dates), network) if self.turned else network


class _Turn(nn.Module):
    def __init__(self, dates: int) -> None:
        super().__init__()
        self.dates = dates

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.unflatten(1, (self.dates, -1)).flip(2).flatten(1, 2)


def read_inputs(cfg: Config) -> Inputs:
    """Return what images a config's model takes.

    Files of three colors are loaded as B, G, R; users give R, G, B. Bands of a ``LoadGeoTIFF``
    keep its order.

    Raises:
        ValueError: The data preprocessor has the statistics of another number of bands, or the
            model takes images of several modalities.
    """
    loader, dates = _loader(cfg)
    if type_name(loader) == 'LoadModalities':
        raise ValueError(
            f'the model of {cfg.filename} takes images of several modalities '
            f'({", ".join(loader["loaders"])}), which is not supported here: images of one sensor '
            'are'
        )
    settings = preprocessor_of(cfg)
    backbone = cfg.model.backbone
    n_bands = backbone.get('in_channels') or len(backbone.get('bands') or COLORS)
    colors = _loads_colors(loader, n_bands)
    turned = turns_channels(settings) != colors

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

    bands = COLORS if colors else loader.get('bands')
    mean, std = of_all_dates('mean', 0.0), of_all_dates('std', 1.0)
    return Inputs(mean, std, None if bands is None else list(bands), dates, turned)


def _loads_colors(loader: dict, n_bands: int) -> bool:
    """Return whether a transform loads the colors B, G, R."""
    if type_name(loader) == 'LoadBandFiles':
        return [spelling(band) for band in loader['bands']] == ['b2', 'b3', 'b4']  # Sentinel-2
    return type_name(loader) != 'LoadGeoTIFF' and n_bands == len(COLORS)


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
