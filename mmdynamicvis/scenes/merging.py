"""Merging of objects that were found in several tiles."""

from __future__ import annotations

from collections.abc import Callable
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

    def shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        top, left = np.maximum(boxes[first, :2], boxes[second, :2]).T
        bottom, right = np.minimum(boxes[first, 2:], boxes[second, 2:]).T
        areas = np.full(len(first), None, object)
        there = (top < bottom) & (left < right)
        areas[there] = shapely.box(*(x[there] for x in (left, top, right, bottom)))
        return areas

    cut = cut_off(shapes, boxes, (grid.height, grid.width), MARGIN * grid.tile)
    kept, shapes, scores = merge_views(
        shapes, labels, scores, tiles, cut, shared, kind, min_agreement
    )
    return shapes, labels[kept], scores


def merge_views(
    shapes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    views: np.ndarray,
    cut: np.ndarray,
    shared: Callable[[np.ndarray, np.ndarray], np.ndarray],
    kind: Kind,
    min_agreement: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep each object once, by the rule of :func:`merge`, in views of any form.

    Args:
        shapes: (N,) shapely polygons on one plane.
        labels: (N,) class indices.
        scores: (N,) confidences.
        views: (N,) numbers of the tiles or scenes in which the objects were found.
        cut: (N,) bool: the edge of its view may have cut the object.
        shared: Function from two arrays of N' indices of objects to the N' areas that the views of
            both cover; None where they cover none.
        kind: Kind of the shapes.
        min_agreement: Fraction in (0, 1].

    Returns:
        The indices of the M remaining objects, in increasing order, their shapes and scores.
    """
    pairs = _same(shapes, labels, views, cut, shared, min_agreement)
    gone = _suppressed(pairs, scores, cut)

    # join the parts of objects that were not found whole in any tile
    left = ~gone
    groups = _groups(len(shapes), pairs[left[pairs].all(1)])
    shapes, scores = shapes.copy(), scores.copy()
    in_parts = groups != np.arange(len(groups))
    joined = np.flatnonzero(np.isin(groups, groups[in_parts]))
    joined = joined[np.argsort(groups[joined], kind='stable')]
    starts = np.flatnonzero(np.diff(groups[joined])) + 1
    for parts in np.split(joined, starts) if len(joined) else []:
        first = parts[0]
        shapes[first] = _WHOLE[kind](shapely.union_all(shapes[parts]))
        scores[first] = scores[parts].max()
    kept = np.flatnonzero(left & ~in_parts)
    return kept, shapes[kept], scores[kept]


def cut_off(
    shapes: np.ndarray, boxes: np.ndarray, whole: tuple[float, float], margin: float
) -> np.ndarray:
    """Whether the edge of its view may have cut a shape off.

    Args:
        shapes: (N,) polygons in pixels.
        boxes: (N, 4) top, left, bottom and right of their views.
        whole: Bottom and right of the whole, which begins at 0: beyond its edges is nothing.
        margin: Pixels from an edge of a view.

    Returns:
        (N,) bool.
    """
    left, top, right, bottom = shapely.bounds(shapes).reshape(-1, 4).T
    return (
        ((boxes[:, 0] > 0) & (top < boxes[:, 0] + margin))
        | ((boxes[:, 1] > 0) & (left < boxes[:, 1] + margin))
        | ((boxes[:, 2] < whole[0]) & (bottom > boxes[:, 2] - margin))
        | ((boxes[:, 3] < whole[1]) & (right > boxes[:, 3] - margin))
    )


def _same(
    shapes: np.ndarray,
    labels: np.ndarray,
    views: np.ndarray,
    cut: np.ndarray,
    shared: Callable[[np.ndarray, np.ndarray], np.ndarray],
    min_agreement: float,
) -> np.ndarray:
    """Return (P, 2) pairs of indices: objects of different views that count as the same."""
    pairs = shapely.STRtree(shapes).query(shapes, predicate='intersects')
    first, second = pairs[:, pairs[0] < pairs[1]]
    candidates = (views[first] != views[second]) & (labels[first] == labels[second])
    first, second = first[candidates], second[candidates]
    seen_by_both = shared(first, second)
    overlapping = ~shapely.is_missing(seen_by_both)
    first, second = first[overlapping], second[overlapping]
    seen_by_both = seen_by_both[overlapping]
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
