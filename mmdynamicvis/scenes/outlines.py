"""Polygons of detected boxes and masks."""

from __future__ import annotations

import numpy as np
import shapely
from rasterio.features import shapes as trace


def box_outlines(boxes: np.ndarray) -> np.ndarray:
    """Return a polygon per box.

    Args:
        boxes: (N, 4) x and y of the upper left and the lower right corner, or (N, 5) center x and
            y, width, height and angle in radians, clockwise as seen in the image.

    Returns:
        (N,) polygons of shapely.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(boxes).all():
        raise ValueError('boxes have numbers that are not finite')
    if boxes.shape[1] == 4:
        return shapely.box(*boxes.T.astype(np.float64))
    x, y, width, height, angle = boxes.T.astype(np.float64)[..., None]
    along = np.array([-1, 1, 1, -1]) * width / 2
    across = np.array([-1, -1, 1, 1]) * height / 2
    cos, sin = np.cos(angle), np.sin(angle)
    corners = np.stack([x + along * cos - across * sin, y + along * sin + across * cos], axis=-1)
    return shapely.polygons(corners)


def mask_outlines(masks: np.ndarray) -> np.ndarray:
    """Return a multipolygon with holes per mask, along the edges of its pixels.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N,) multipolygons of shapely, empty for empty masks.
    """
    outlines = np.empty(len(masks), dtype=object)
    for i, mask in enumerate(masks.astype(np.uint8)):
        parts = [shapely.geometry.shape(part) for part, _ in trace(mask, mask.astype(bool))]
        outlines[i] = shapely.MultiPolygon(parts)
    return outlines
