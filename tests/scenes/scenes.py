"""Rasters on disk, and models whose answer at a pixel is known without tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import from_origin

PLACE = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, 0.5, 0.5))
CLASSES = ('water', 'field', 'road')
VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename></SimpleSource>
</VRTRasterBand></VRTDataset>"""
"""A raster of 64 x 64 pixels that another one has."""
REACH = 4
"""Pixels around one that the local model looks at."""


def write(path: Path, image_CHW: np.ndarray, **profile) -> Path:
    """Write a GeoTIFF in blocks of 128 pixels."""
    shape = dict(zip(('count', 'height', 'width'), image_CHW.shape, strict=True))
    tiled = dict(tiled=True, blockxsize=128, blockysize=128)
    profile = {**PLACE, **shape, **tiled, **profile}
    with rasterio.open(path, 'w', driver='GTiff', dtype=image_CHW.dtype, **profile) as file:
        file.write(image_CHW)
    return path


def placed_by_points(path: Path, kind: str, shift: float = 0.0) -> Path:
    """Write a GeoTIFF of 64 x 64 pixels that has ground control points or RPCs alone."""
    corners = [(row, column) for row in (0, 64) for column in (0, 64)]
    points = [
        GroundControlPoint(row, column, 5e5 + 10 * column + shift, 53e5 - 10 * row, 3)
        for row, column in corners
    ]
    one = [1.0] + 19 * [0.0]
    numbers = {
        f'{name}_{what}': 32.0 + shift
        for name in ('height', 'lat', 'line', 'long', 'samp')
        for what in ('off', 'scale')
    }
    coefficients = {f'{n}_{k}_coeff': one for n in ('line', 'samp') for k in ('den', 'num')}
    place = dict(
        gcps=dict(gcps=points, crs='EPSG:32633'),
        rpcs=dict(rpcs=RPC(**numbers, **coefficients), crs=None),
    )
    return write(path, noise(64, 64), transform=None, **place[kind])


def noise(height: int, width: int, bands: int = 3, dtype: str = 'uint8') -> np.ndarray:
    """Return (bands, H, W) numbers from 1 on."""
    return np.random.default_rng(0).integers(1, 200, (bands, height, width)).astype(dtype)


def local_model(bands: int = 3) -> torch.nn.Module:
    """Return two convolutions, from bands to the logits of three classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(bands, 8, 5, padding=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, len(CLASSES), 5, padding=2),
        )
    return model.requires_grad_(False)


def predict_by(model: torch.nn.Module):
    """Return what predicts windows by a network."""

    def predict(windows):
        images = np.stack([np.concatenate(window, axis=-1) for window in windows])
        return list(model(torch.from_numpy(images).permute(0, 3, 1, 2) / 100).numpy())

    return predict
