"""Small georeferenced rasters for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

LEFT, TOP = 6e5, 5.3e6


def write_raster(
    path: Path,
    image: np.ndarray,
    gsd: float | tuple[float, float] | None = 10.0,
    crs: str | None = 'EPSG:32633',
    left: float = LEFT,
    **profile: object,
) -> str:
    """Write (H, W) or (bands, H, W), whose upper left corner is at ``left``, ``TOP``.

    Without ``gsd`` it is not georeferenced.
    """
    image_CHW = image if image.ndim == 3 else image[None]
    count, height, width = image_CHW.shape
    if gsd is not None:
        steps = gsd if isinstance(gsd, tuple) else (gsd, gsd)
        profile = dict(profile, crs=crs, transform=from_origin(left, TOP, *steps))
    path.parent.mkdir(parents=True, exist_ok=True)
    size = dict(count=count, height=height, width=width, dtype=image.dtype)
    with rasterio.open(path, 'w', driver='GTiff', **size, **profile) as file:
        file.write(image_CHW)
    return str(path)
