"""Detection in whole scenes: objects are found in tiles, merged, and written as a vector file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.merging import Kind, merge
from mmdynamicvis.scenes.reading import Scene, Window
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, NOT_FINITE, Pace, predict_tiles, tile_name
from mmdynamicvis.scenes.vectors import check_output, write_vectors
from mmdynamicvis.scenes.work_folder import WorkFolder


class Objects(NamedTuple):
    """Objects of a window.

    Args:
        shapes: (N,) polygons of shapely; x and y in pixels from the window's upper left corner.
        labels: (N,) int class indices.
        scores: (N,) float confidences.
    """

    shapes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


Find = Callable[[Sequence[Window]], Sequence[Objects]]
"""Function from windows of one size to the objects of each."""


def detect_scene(
    scene: Scene,
    predict: Find,
    output: Path,
    classes: Sequence[str],
    *,
    kind: Kind = 'boxes',
    tile: int = 512,
    overlap: int = 128,
    min_score: float = 0.3,
    min_agreement: float = 0.5,
    settings: dict[str, Any] | None = None,
    pace: Pace = DEFAULT_PACE,
) -> Path | None:
    """Write the objects of a scene in the scene's reference system.

    The objects of a tile are stored in a folder next to the output, ``OUTPUT.work``, until the
    output is complete. Memory holds a few windows, and at the end all objects. Objects found in
    several tiles are merged, see :func:`merge`.

    Args:
        scene: The scene.
        predict: The model.
        output: .gpkg or .geojson to write, with ``label``, ``score`` and a polygon per object.
        classes: Names of the classes.
        kind: Kind of the model's shapes.
        tile: Side in pixels of the windows passed to the model.
        overlap: Number of pixels shared by neighboring windows, at least 1 if there are several.
            Objects larger than that are joined from parts.
        min_score: Objects with a lower score are dropped.
        min_agreement: Overlap from which two objects count as the same, see :func:`merge`.
        settings: Other settings that affect the result, of JSON types: a run is continued only
            with the same settings.
        pace: Batch size, readers, and when to stop.

    Returns:
        The output, or None if ``pace`` ended the run before it was complete.

    Raises:
        OSError: A file cannot be read or written, the output exists, or another run is writing it.
        ValueError: Tile or overlap is invalid; the output has an unsupported suffix, cannot
            represent the scene's reference system or is a file of the scene; ``min_agreement`` is
            not in (0, 1]; the model returns an unknown label, values that are not finite or an
            invalid polygon; or the work folder belongs to a run with other settings.
    """
    check_output(output, scene)
    if not 0 < min_agreement <= 1:
        raise ValueError(f'min_agreement is {min_agreement}; give a share in (0, 1]')
    grid = Grid(scene.height, scene.width, tile, overlap, scene.step)
    if not overlap and len(grid) > 1:
        raise ValueError(
            'overlap is 0, so that an object across the edge of a window would become one in each: '
            'give more pixels than most objects are long'
        )
    settings = dict(
        settings or {},
        **scene.settings(),
        kind=kind,
        classes=list(classes),
        tile=tile,
        overlap=overlap,
        min_score=min_score,
        batch_size=pace.batch_size,
    )

    def pack(objects: Objects | None, nodata: np.ndarray) -> dict[str, np.ndarray]:
        return {} if objects is None else _pack(objects, min_score, len(classes))

    folder = output.with_name(f'{output.name}.work')
    with WorkFolder(folder, settings, shared=pace.part is not None) as work:
        for _ in predict_tiles(scene, grid, predict, pack, work, pace.of_part(len(grid)), pace):
            pass
        if pace.part is not None or not all(work.has(tile_name(i)) for i in range(len(grid))):
            return None
        objects, tiles = _in_scene(work, grid)
        objects = Objects(*merge(*objects, tiles, grid, kind, min_agreement))
        names = np.array(classes, dtype=object)[objects.labels]
        write_vectors(output, scene, objects.shapes, dict(label=names, score=objects.scores), work)
        work.remove()
    return output


def _pack(objects: Objects, min_score: float, classes: int) -> dict[str, np.ndarray]:
    # bounds of a missing shape are NaN, too
    bounds_N4 = shapely.bounds(np.asarray(objects.shapes, object)).reshape(-1, 4)
    if not (np.isfinite(objects.scores).all() and np.isfinite(bounds_N4).all()):
        raise ValueError(f'the model returned scores or places that are not finite. {NOT_FINITE}')
    chosen = objects.scores >= min_score
    labels = objects.labels[chosen].astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f'the model returned labels from {labels.min()} to {labels.max()} for {classes} '
            'classes, 0 to the last: give the classes that it was trained for'
        )
    whole = shapely.is_valid(objects.shapes[chosen])
    if not whole.all():
        found = shapely.is_valid_reason(objects.shapes[chosen][~whole][0])
        raise ValueError(
            f'the model returned a polygon that has no clear inside ({found}): shapely.make_valid '
            'mends those that cross themselves, and those without area are to be left out'
        )
    shapes = shapely.to_wkb(objects.shapes[chosen])
    return dict(
        shapes=np.frombuffer(b''.join(shapes), np.uint8),
        ends=np.cumsum([0, *map(len, shapes)]),
        labels=labels,
        scores=objects.scores[chosen],
    )


def _unpack(arrays: dict[str, np.ndarray]) -> Objects:
    content = arrays['shapes'].tobytes()
    shapes = [content[start:end] for start, end in pairwise(arrays['ends'])]
    return Objects(shapely.from_wkb(np.array(shapes, object)), arrays['labels'], arrays['scores'])


def _in_scene(work: WorkFolder, grid: Grid) -> tuple[Objects, np.ndarray]:
    """Return the objects of all tiles in pixels of the scene, and (N,) their tile indices."""
    found = [Objects(*(np.empty(0, dtype) for dtype in (object, np.int64, np.float32)))]
    tiles = [np.empty(0, np.int64)]
    for index in range(len(grid)):
        arrays = work.load(tile_name(index))
        if not arrays:  # a tile without data
            continue
        corner = (grid[index].left, grid[index].top)
        objects = _unpack(arrays)
        shapes = shapely.transform(objects.shapes, lambda xy, corner=corner: xy + corner)
        found.append(objects._replace(shapes=shapes))
        tiles.append(np.full(len(shapes), index))
    return Objects(*map(np.concatenate, zip(*found, strict=True))), np.concatenate(tiles)
