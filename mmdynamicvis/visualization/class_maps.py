"""Pictures of several maps of classes of one image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from mmdynamicvis.data.class_maps import ClassMap
from mmdynamicvis.visualization.pictures import Picture

_TILE_INCHES = 4.0
_COLOR_SHARE = 0.6
"""Weight of the colors above the image."""


def show_class_maps(
    image: Picture, maps: Sequence[ClassMap], labels: Sequence[NDArray[np.integer]]
) -> Picture:
    """Compose one column per map: the image, painted with the colors of the classes, and a legend.

    Class 0, which is the background or no change, is not painted. The legend has the classes that
    occur.

    Args:
        image: R, G, B image, uint8 (H, W, 3).
        maps: Name, classes and colors of each map.
        labels: (H, W) class of each pixel for each map.

    Returns:
        R, G, B picture, uint8 (H', W', 3).

    Raises:
        ValueError: The sizes differ, there are no maps, or a label is no class of its map.
    """
    if not maps or len(maps) != len(labels):
        raise ValueError(f'there are {len(maps)} maps and {len(labels)} arrays of labels')
    height, width = image.shape[:2]
    size = (_TILE_INCHES * len(maps), _TILE_INCHES * height / width + 1)
    figure = Figure(figsize=size, dpi=120, layout='constrained')
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axis, part, labels_HW in zip(axes, maps, labels, strict=True):
        if labels_HW.shape != (height, width) or labels_HW.max() >= len(part.classes):
            raise ValueError(
                f'labels of {part.name} are {labels_HW.shape} up to {labels_HW.max()}; the image '
                f'is {(height, width)}, and there are {len(part.classes)} classes'
            )
        colors = _colors(part)
        painted = (1 - _COLOR_SHARE) * image + _COLOR_SHARE * colors[labels_HW]
        axis.imshow(np.where(labels_HW[..., None] > 0, painted, image).round().astype(np.uint8))
        axis.set_title(part.name)
        axis.set_axis_off()
        found = [label for label in np.unique(labels_HW).tolist() if label]
        handles = [
            Patch(facecolor=colors[label] / 255, edgecolor='gray', label=part.classes[label])
            for label in found
        ]
        if not handles:
            handles = [Patch(alpha=0, label=f'only {part.classes[0]}')]
        axis.legend(handles=handles, loc='upper center', bbox_to_anchor=(0.5, 0), fontsize='small')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _colors(part: ClassMap) -> NDArray[np.float64]:
    """Return R, G, B of each class, (classes, 3) in [0, 255]."""
    if part.palette is not None:
        return np.asarray(part.palette, np.float64)
    cycle = np.asarray(colormaps['tab10'].colors)
    return 255 * cycle[np.arange(len(part.classes)) % len(cycle)]
