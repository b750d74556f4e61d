"""A made satellite scene of 10 m pixels: sea, forest, fields and a town."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from synthetic.canvas import Array, Canvas, Frame, Rows, rectangle

__all__ = ['draw_land_cover', 'write_land_cover']

_GSD = 10.0
_SEA, _FOREST = ([39, 63, 84], [39, 64, 76])
_FIELDS = [[150, 120, 105], [95, 115, 85], [165, 135, 120], [120, 105, 95], [75, 120, 90]]
_GROUND = [88, 98, 100]
_ROOFS = [[140, 105, 95], [120, 110, 112], [165, 160, 160], [105, 95, 95]]


def _color(rgb: list[int]) -> Array:
    return np.array(rgb) / 255


def draw_land_cover(size: int = 256, seed: int = 0) -> NDArray[np.uint8]:
    """Return the scene, RGB uint8 (size, size, 3): each cover takes a quarter.

    The colors are about those that EuroSAT (arXiv 1709.00029) has of such places: of sea and forest
    those of the median image, otherwise on average.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, _GSD, rng)
    half = canvas.extent / 2

    canvas.cover(_color(_SEA), grain=0.03)
    coast = rectangle(half * 1.08, half * 1.08)
    forest, fields, town = (
        Frame(x * half, y * half).to_ground(coast) for x, y in ((0.5, 0.5), (1.5, 0.5), (1.5, 1.5))
    )
    canvas.fill(fields, _color(_FIELDS[1]), grain=0.05)
    for x in np.arange(half, canvas.extent, 260.0):
        for y in np.arange(0.0, half, 200.0):
            color = _color(_FIELDS[rng.integers(len(_FIELDS))]) * rng.uniform(0.8, 1.15)
            rows = Rows(40.0, rng.choice([0.0, np.pi / 2]), 0.03)
            field = Frame(x + 130, y + 100).to_ground(rectangle(250, 190))
            canvas.fill(field, color, grain=0.04, rows=rows)
    canvas.fill(forest, _color(_FOREST), grain=0.09)
    canvas.fill(town, _color(_GROUND), grain=0.08)
    for x in np.arange(half, canvas.extent, 60.0):
        for y in np.arange(half, canvas.extent, 30.0):
            roof = _color(_ROOFS[rng.integers(len(_ROOFS))]) * rng.uniform(0.75, 1.25)
            house = Frame(x + rng.uniform(0, 25), y + 10).to_ground(rectangle(26, 16))
            canvas.fill(house, roof)
    rgb = canvas.rgb.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.round(rgb.clip(0, 1) * 255).astype(np.uint8)


def write_land_cover(path: Path, size: int = 256, seed: int = 0) -> None:
    """Write the scene as a GeoTIFF with bands red, green and blue, in UTM zone 33N."""
    profile = dict(driver='GTiff', width=size, height=size, count=3, dtype='uint8')
    place = dict(crs='EPSG:32633', transform=from_origin(500_000, 5_300_000, _GSD, _GSD))
    with rasterio.open(path, 'w', photometric='RGB', **profile, **place) as file:
        file.write(draw_land_cover(size, seed).transpose(2, 0, 1))
