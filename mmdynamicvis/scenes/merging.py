"""Merging of objects that were found in several tiles."""

from __future__ import annotations

from typing import Literal

import numpy as np
import shapely

from mmdynamicvis.scenes.grid import Grid

Kind = Literal['boxes', 'rotated boxes', 'masks']
"""Kind of the shapes; an object that is joined from parts gets a shape of the same kind."""

MARGIN = 1 / 64
"""Fraction of a tile's side: objects this close to the edge of their tile may be cut off."""

_WHOLE = {
    'boxes': shapely.envelope,
    'rotated boxes': shapely.oriented_envelope,
    'masks': lambda shape: shape,
}


def merge(
    shapes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    tiles: np.ndarray,
    grid: Grid,
    kind: Kind,
    min_agreement: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep each object once.

    Two objects of one class from different tiles count as the same if they agree inside the area
    that both tiles cover: there, the area of their intersection is at least ``min_agreement`` of
    the area of their union, or of the smaller one if either object may be cut off by the edge of
    its tile. As in non-maximum suppression, the object with the highest score replaces the others;
    whole objects take precedence over cut ones. An object that is larger than the overlap and so
    is cut in every tile is joined from its parts and gets their highest score. Objects within one
    tile are not merged: that is the model's NMS.

    Args:
        shapes: (N,) shapely polygons in pixels of the scene.
        labels: (N,) class indices.
        scores: (N,) confidences.
        tiles: (N,) indices of the tiles in which the objects were found.
        grid: The tiles.
        kind: Kind of the shapes.
        min_agreement: Fraction in (0, 1].

    Returns:
        Shapes, labels and scores of the remaining objects, in the order given.
    """
    boxes = np.array([grid[index] for index in tiles]).reshape(-1, 4)
    cut = _cut(shapes, boxes, grid)
    pairs = _same(shapes, labels, tiles, boxes, cut, min_agreement)
    gone = _suppressed(pairs, scores, cut)

    # join the parts of objects that were not found whole in any tile
    left = ~gone
    groups = _groups(len(shapes), pairs[left[pairs].all(1)])
    shapes, scores = shapes.copy(), scores.copy()
    in_parts = groups != np.arange(len(groups))
    for first in np.unique(groups[in_parts]):
        parts = groups == first
        shapes[first] = _WHOLE[kind](shapely.union_all(shapes[parts]))
        scores[first] = scores[parts].max()
    kept = left & ~in_parts
    return shapes[kept], labels[kept], scores[kept]


def _cut(shapes: np.ndarray, boxes: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (N,) bool: the shape reaches an edge of its tile that is not an edge of the scene."""
    left, top, right, bottom = shapely.bounds(shapes).reshape(-1, 4).T
    margin = MARGIN * grid.tile
    return (
        ((boxes[:, 0] > 0) & (top < boxes[:, 0] + margin))
        | ((boxes[:, 1] > 0) & (left < boxes[:, 1] + margin))
        | ((boxes[:, 2] < grid.height) & (bottom > boxes[:, 2] - margin))
        | ((boxes[:, 3] < grid.width) & (right > boxes[:, 3] - margin))
    )


def _same(
    shapes: np.ndarray,
    labels: np.ndarray,
    tiles: np.ndarray,
    boxes: np.ndarray,
    cut: np.ndarray,
    min_agreement: float,
) -> np.ndarray:
    """Return (P, 2) pairs of indices: objects of different tiles that count as the same."""
    pairs = shapely.STRtree(shapes).query(shapes, predicate='intersects')
    first, second = pairs[:, pairs[0] < pairs[1]]
    candidates = (tiles[first] != tiles[second]) & (labels[first] == labels[second])
    first, second = first[candidates], second[candidates]
    top, left = np.maximum(boxes[first, :2], boxes[second, :2]).T
    bottom, right = np.minimum(boxes[first, 2:], boxes[second, 2:]).T
    overlapping = (top < bottom) & (left < right)
    first, second = first[overlapping], second[overlapping]
    seen_by_both = shapely.box(*(x[overlapping] for x in (left, top, right, bottom)))
    a = shapely.intersection(shapes[first], seen_by_both)
    b = shapely.intersection(shapes[second], seen_by_both)
    common = shapely.area(shapely.intersection(a, b))
    areas = np.stack([shapely.area(a), shapely.area(b)])
    whole = ~(cut[first] | cut[second])
    reference = np.where(whole, areas.sum(0) - common, areas.min(0))
    same = (common > 0) & (common >= min_agreement * reference)
    return np.stack([first[same], second[same]], axis=1)


def _suppressed(pairs: np.ndarray, scores: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return (N,) bool: the shape is replaced by a whole object that takes precedence."""
    same_as: dict[int, list[int]] = {}
    for first, second in pairs.tolist():
        same_as.setdefault(first, []).append(second)
        same_as.setdefault(second, []).append(first)
    gone = np.zeros(len(scores), bool)
    whole = [index for index in same_as if not cut[index]]
    for index in sorted(whole, key=lambda index: (-scores[index], index)):
        if not gone[index]:
            gone[same_as[index]] = True
    return gone


def _groups(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return (count,) connected components: the lowest index that each item is connected to."""
    groups = np.arange(count)
    while True:
        lowest = groups.copy()
        np.minimum.at(lowest, pairs[:, 0], groups[pairs[:, 1]])
        np.minimum.at(lowest, pairs[:, 1], groups[pairs[:, 0]])
        if (lowest == groups).all():
            return groups
        groups = lowest
