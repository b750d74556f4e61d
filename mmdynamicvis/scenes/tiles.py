"""Prediction tile by tile, with results stored in a work folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from mmengine.utils import ProgressBar

from mmdynamicvis.fileio import shorten
from mmdynamicvis.scenes.grid import Box, Grid
from mmdynamicvis.scenes.reading import Scene, Window, read_ahead
from mmdynamicvis.scenes.work_folder import WorkFolder

Arrays = dict[str, np.ndarray]
Prediction = TypeVar('Prediction')


@dataclass(frozen=True)
class Pace:
    """How a scene is processed; this affects results only by rounding.

    Args:
        batch_size: Number of tiles per batch. The last bits of results depend on it.
        readers: Number of threads that read ahead of the model.
        max_tiles: Stop after this number of tiles, rounded up to full batches; the next run
            continues.
        progress: Show a progress bar on the terminal.
        part: (number, parts): predict only the tiles of this part of the scene, counted from 0.
            Several processes, also of several machines with a shared disk, may do this at once,
            each another part; a run without ``part`` then writes the output.

    Raises:
        ValueError: A number is not positive, or there is no such part.
    """

    batch_size: int = 1
    readers: int = 2
    max_tiles: int | None = None
    progress: bool = True
    part: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ('batch_size', 'readers', 'max_tiles'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name} is {value}; give 1 or more')
        if self.part is not None and not 0 <= self.part[0] < self.part[1]:
            raise ValueError(
                f'part is {self.part}; give its number, counted from 0, and that of all parts'
            )

    def of_part(self, items: int) -> range:
        """Return the indices of those of a number of items, in order, that the part has."""
        number, parts = self.part or (0, 1)
        return range(items * number // parts, items * (number + 1) // parts)


DEFAULT_PACE = Pace()
NOT_FINITE = (
    'A single pixel far outside the range of the training data can cause this for a whole window: '
    'if the raster has a nodata value that it does not state, give it (nodata=...)'
)


def tile_name(index: int) -> str:
    """Return the name of a tile's result."""
    return f'tile-{index:08d}'


def predict_tiles(
    scene: Scene,
    grid: Grid,
    predict: Callable[[Sequence[Window]], Sequence[Prediction]],
    pack: Callable[[Prediction | None, np.ndarray], Arrays],
    work: WorkFolder,
    needed: Collection[int],
    pace: Pace,
) -> Iterator[None]:
    """Predict the tiles of ``needed`` that have no result yet; yield after each batch.

    Batches have the same tiles whether or not the run was interrupted, so that results are
    identical. Close the iterator when done: its threads read the scene.

    Args:
        scene: The scene to read.
        grid: The tiles.
        predict: The model; tiles that are entirely nodata are not passed to it.
        pack: Converts a prediction (None for a tile that is entirely nodata) and the nodata mask
            of its tile, (H, W) bool, to the arrays to store.
        work: Folder for the results.
        needed: Indices of the tiles that must have a result in the end.
        pace: Batch size, readers, and when to stop.

    Raises:
        ValueError: The model or ``pack`` raised it, or the number of predictions differs from the
            number of windows; the message names the scene and the windows.
    """

    def read(batch: range) -> list[tuple[Window, np.ndarray]]:
        return [scene.read(grid[index]) for index in batch]

    todo = _batches_left(len(grid), work, needed, pace)
    bar = None
    if pace.progress and todo:
        bar = ProgressBar(sum(map(len, todo)), file=sys.stderr)
    try:
        # stop the threads even after an error, before the scene's files are closed
        with closing(read_ahead(read, todo, pace.readers)) as read_batches:
            for batch, windows in read_batches:
                with_data = [i for i, (_, nodata) in enumerate(windows) if not nodata.all()]
                with _naming(scene, [grid[batch[i]] for i in with_data]):
                    images = [windows[i][0] for i in with_data]
                    predictions = list(predict(images)) if images else []
                    if len(predictions) != len(images):
                        raise ValueError(
                            f'the model returned {len(predictions)} predictions for {len(images)} '
                            'windows; it must return one for each'
                        )
                found = dict(zip(with_data, predictions, strict=True))
                for i, (index, (_, nodata)) in enumerate(zip(batch, windows, strict=True)):
                    with _naming(scene, [grid[index]]):
                        arrays = pack(found.get(i), nodata)
                    work.save(tile_name(index), arrays)
                if bar is not None:
                    bar.update(len(batch))
                yield
    finally:  # end the progress bar's line before an error is printed
        if bar is not None:
            sys.stderr.write('\n')


@contextmanager
def _naming(scene: Scene, boxes: Sequence[Box]) -> Iterator[None]:
    """Prepend scene and windows to the message of a ValueError raised in the block."""
    try:
        yield
    except ValueError as error:
        where = shorten(boxes, 2, '; ')
        raise ValueError(f'{", ".join(scene.paths)}, {where}: {error}') from error


def _batches_left(tiles: int, work: WorkFolder, needed: Collection[int], pace: Pace) -> list[range]:
    starts = range(0, tiles, pace.batch_size)
    batches = [range(start, min(start + pace.batch_size, tiles)) for start in starts]
    left = [
        batch
        for batch in batches
        if any(index in needed and not work.has(tile_name(index)) for index in batch)
    ]
    return left if pace.max_tiles is None else left[: -(-pace.max_tiles // pace.batch_size)]
