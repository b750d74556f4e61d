"""Rasters on disk, and models whose answer at a pixel is known without tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin

PLACE = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, 0.5, 0.5))
CLASSES = ('water', 'field', 'road')
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
