"""Semantic segmentation of whole scenes: overlapping tiles are blended and written as GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mmdynamicvis.scenes.grid import Box, Grid
from mmdynamicvis.scenes.rasters import BLOCK, Bands, check_output, write_raster
from mmdynamicvis.scenes.reading import Scene, Window
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, NOT_FINITE, Pace, predict_tiles, tile_name
from mmdynamicvis.scenes.work_folder import WorkFolder

NO_CLASS = 255
"""Value of nodata pixels in the class map."""

Scores = Callable[[Sequence[Window]], Sequence[np.ndarray]]
"""Function from windows of one size to the logits of each, (classes, H, W) float32."""


def segment_scene(
    scene: Scene,
    predict: Scores,
    output: Path,
    classes: Sequence[str],
    *,
    palette: Sequence[Sequence[int]] | None = None,
    tile: int = 512,
    overlap: int = 128,
    probabilities: bool = False,
    cog: bool = False,
    settings: dict[str, Any] | None = None,
    pace: Pace = DEFAULT_PACE,
) -> Path | None:
    """Write the class map of a scene, on the grid of the scene.

    Logits of overlapping tiles are averaged with weights that rise from the edge of a tile as a
    squared sine. The logits of a tile are stored in a folder next to the output, ``OUTPUT.work``,
    until they have been blended. Memory holds only the tiles around one block of 512 pixels.

    Args:
        scene: The scene.
        predict: The model.
        output: GeoTIFF to write. One uint8 band with the class index, 255 for nodata.
        classes: Names of the classes.
        palette: R, G, B of each class.
        tile: Side in pixels of the windows passed to the model.
        overlap: Number of pixels shared by neighboring windows.
        probabilities: Write the softmax instead: one float32 band per class, NaN for nodata.
        cog: Write a cloud-optimized GeoTIFF.
        settings: Other settings that affect the result, of JSON types: a run is continued only
            with the same settings.
        pace: Batch size, readers, and when to stop.

    Returns:
        The output, or None if ``pace.max_tiles`` ended the run before it was complete.

    Raises:
        OSError: A file cannot be read or written, the output exists, or another run is writing it.
        ValueError: Tile or overlap is invalid; the output has an unsupported suffix or is a file
            of the scene; the model does not return logits of these classes; there are more than
            255 classes; or the work folder belongs to a run with other settings.
    """
    check_output(output, scene)
    if not 1 <= len(classes) <= NO_CLASS:
        raise ValueError(f'there are {len(classes)} classes; a map of classes has 1 to {NO_CLASS}')
    grid = Grid(scene.height, scene.width, tile, overlap, scene.step)
    settings = dict(
        settings or {},
        task='classes of pixels',
        **scene.settings(),
        classes=list(classes),
        tile=tile,
        overlap=overlap,
        probabilities=probabilities,
        batch_size=pace.batch_size,
    )

    def pack(scores: np.ndarray | None, nodata: np.ndarray) -> dict[str, np.ndarray]:
        if scores is None:
            return {}
        if scores.shape != (len(classes), *nodata.shape):
            raise ValueError(
                f'the model returned {scores.shape} for a window of {nodata.shape} pixels and '
                f'{len(classes)} classes; it must return (classes, H, W) logits'
            )
        # a model may exclude a class by -inf
        if not np.isfinite(scores.max(0)[~nodata]).all():
            raise ValueError(f'the model returned logits that are not finite. {NOT_FINITE}')
        return dict(nodata=nodata, scores=scores)

    bands = Bands(['class'], 'uint8', NO_CLASS, 'mode', palette)
    if probabilities:
        bands = Bands(classes, 'float32', np.nan, 'average')
    with WorkFolder(output.with_name(f'{output.name}.work'), settings) as work:
        blending = _Blending(grid, work, len(classes), probabilities)
        blending.advance()
        with closing(
            predict_tiles(scene, grid, predict, pack, work, blending.needed(), pace)
        ) as batches:
            for _ in batches:
                blending.advance()
        if blending.rows:
            return None
        write_raster(output, scene, grid, bands, blending.load, work, cog)
        work.remove()
    return output


class _Blending:
    """Computes blocks of the output as soon as all tiles that overlap them are predicted.

    Tiles that no later block needs are deleted.
    """

    def __init__(self, grid: Grid, work: WorkFolder, classes: int, probabilities: bool) -> None:
        self.grid = grid
        self.work = work
        self.classes = classes
        self.probabilities = probabilities
        ramps = (_ramp(length, grid.overlap) for length in grid[0].shape)
        self.weights_HW = np.outer(*ramps)
        self.rows = [
            row for row in grid.block_rows(BLOCK) if not all(work.has(_name(box)) for box in row)
        ]

    def needed(self) -> set[int]:
        """Return the indices of the tiles that overlap unfinished blocks."""
        return {index for row in self.rows for index in self._over(row)}

    def advance(self) -> None:
        """Compute the blocks of all rows whose tiles are complete."""
        while self.rows and all(self.work.has(tile_name(i)) for i in self._over(self.rows[0])):
            row = self.rows.pop(0)
            for box in row:
                self.work.save(_name(box), dict(block=self._block(box)), compressed=True)
            later = set(self._over(self.rows[0])) if self.rows else set()
            for index in set(self._over(row)) - later:
                self.work.discard(tile_name(index))

    def load(self, box: Box) -> np.ndarray:
        """Return a finished block, (bands, H, W)."""
        return self.work.load(_name(box))['block']

    def _over(self, row: Sequence[Box]) -> list[int]:
        return self.grid.over(Box(row[0].top, row[0].left, row[-1].bottom, row[-1].right))

    def _block(self, box: Box) -> np.ndarray:
        scores_KHW = np.zeros((self.classes, *box.shape), np.float32)
        weight_HW = np.zeros(box.shape, np.float32)
        nodata_HW = np.zeros(box.shape, bool)
        for index in self.grid.over(box):
            tile = self.grid[index]
            arrays = self.work.load(tile_name(index))
            shared = tile.shared_with(box)
            here, there = shared.inside(box), shared.inside(tile)
            if not arrays:  # a tile without data
                nodata_HW[here] = True
                continue
            nodata_HW[here] |= arrays['nodata'][there]
            weights = self.weights_HW[there]
            scores_KHW[(..., *here)] += weights * arrays['scores'][(..., *there)]
            weight_HW[here] += weights
        if not self.probabilities:
            classes_HW = scores_KHW.argmax(0).astype(np.uint8)
            classes_HW[nodata_HW] = NO_CLASS
            return classes_HW[None]
        # nodata pixels may have no weight
        scores_KHW /= np.where(nodata_HW, np.nan, weight_HW)
        scores_KHW = np.exp(scores_KHW - scores_KHW.max(0))
        return scores_KHW / scores_KHW.sum(0)


def _name(box: Box) -> str:
    return f'block-{box.top:08d}-{box.left:08d}'


def _ramp(length: int, overlap: int) -> np.ndarray:
    """Return the (length,) weights along a tile; those of two tiles sum to 1 in the overlap."""
    if not overlap:
        return np.ones(length, np.float32)
    places = np.arange(length) + 0.5
    from_edge = np.minimum(places, length - places) / overlap
    return np.sin(np.pi / 2 * from_edge.clip(max=1)).astype(np.float32) ** 2
