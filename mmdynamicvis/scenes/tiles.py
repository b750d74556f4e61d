"""Prediction tile by tile, with the results in a work folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from mmengine.utils import ProgressBar

from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.reading import Scene, Window, read_ahead
from mmdynamicvis.scenes.work_folder import WorkFolder

Arrays = dict[str, np.ndarray]
Prediction = TypeVar('Prediction')


@dataclass(frozen=True)
class Pace:
    """How a scene is worked through; the result does not depend on it but for rounding.

    Args:
        batch_size: Tiles that the model gets at once. Results depend on it in their last bits.
        readers: Threads that read ahead of the model.
        max_tiles: End after so many tiles, to the next full batch; the next run continues.
        progress: Show a bar on the terminal.

    Raises:
        ValueError: A number is not positive.
    """

    batch_size: int = 1
    readers: int = 2
    max_tiles: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ('batch_size', 'readers', 'max_tiles'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name} is {value}; give 1 or more')


DEFAULT_PACE = Pace()


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

    Batches are the same whether or not the run was interrupted. Close the iterator when done: its
    threads read the scene.

    Args:
        scene: What is read.
        grid: The tiles.
        predict: The model; it does not get tiles that are wholly without data.
        pack: Makes the arrays to keep from a prediction, None for a tile without data, and from
            where there is no data, (H, W) bool.
        work: Where results are kept.
        needed: Tiles that must have a result in the end.
        pace: How many at once, and how many at all.
    """

    def read(batch: range) -> list[tuple[Window, np.ndarray]]:
        return [scene.read(grid[index]) for index in batch]

    todo = _batches_left(len(grid), work, needed, pace)
    bar = None
    if pace.progress and todo:
        bar = ProgressBar(sum(map(len, todo)), file=sys.stderr)
    try:
        # closed: no thread may read when the scene's files are closed after an error
        with closing(read_ahead(read, todo, pace.readers)) as read_batches:
            for batch, windows in read_batches:
                with_data = [images for images, nodata in windows if not nodata.all()]
                predictions = iter(predict(with_data) if with_data else ())
                for index, (_, nodata) in zip(batch, windows, strict=True):
                    prediction = None if nodata.all() else next(predictions)
                    work.save(tile_name(index), pack(prediction, nodata))
                if bar is not None:
                    bar.update(len(batch))
                yield
    finally:  # so that an error has a line of its own
        if bar is not None:
            sys.stderr.write('\n')


def _batches_left(tiles: int, work: WorkFolder, needed: Collection[int], pace: Pace) -> list[range]:
    starts = range(0, tiles, pace.batch_size)
    batches = [range(start, min(start + pace.batch_size, tiles)) for start in starts]
    left = [
        batch
        for batch in batches
        if any(index in needed and not work.has(tile_name(index)) for index in batch)
    ]
    return left if pace.max_tiles is None else left[: -(-pace.max_tiles // pace.batch_size)]
