"""Semantic segmentation of whole scenes: overlapping tiles are blended and written as GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdynamicvis.data.class_maps import ClassMap, class_maps, class_probabilities
from mmdynamicvis.fileio import digest
from mmdynamicvis.scenes.grid import Box, Grid
from mmdynamicvis.scenes.rasters import BLOCK, Bands, check_output, write_raster
from mmdynamicvis.scenes.reading import Scene, Window
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, NOT_FINITE, Pace, predict_tiles, tile_name
from mmdynamicvis.scenes.work_folder import WorkFolder

NO_CLASS = 255
"""Value of nodata pixels in the class map."""

Scores = Callable[[Sequence[Window]], Sequence[np.ndarray]]
"""Function from windows of one size to the logits of each, (classes, H, W) float32."""


def map_paths(output: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of several maps, OUTPUT_NAME.tif for OUTPUT.tif; without names, OUTPUT."""
    paths = [output.with_name(f'{output.stem}_{name}{output.suffix}') for name in names]
    return paths or [output]


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
        The output, or None if ``pace`` ended the run before it was complete.

    Raises:
        OSError: A file cannot be read or written, the output exists, or another run is writing it.
        ValueError: Tile or overlap is invalid; the output has an unsupported suffix or is a file
            of the scene; the model does not return logits of these classes; there are more than
            255 classes; or the work folder belongs to a run with other settings.
    """
    settings = dict(settings or {}, classes=list(classes))
    options = dict(tile=tile, overlap=overlap, probabilities=probabilities, cog=cog, pace=pace)
    outputs = {output: ClassMap('class', classes, palette)}
    done = _segment(scene, predict, outputs, _work_path(output), settings=settings, **options)
    return output if done else None


def segment_maps(
    scene: Scene,
    predict: Scores,
    output: Path,
    maps: Sequence[ClassMap],
    *,
    tile: int = 512,
    overlap: int = 128,
    probabilities: bool = False,
    cog: bool = False,
    settings: dict[str, Any] | None = None,
    pace: Pace = DEFAULT_PACE,
) -> list[Path] | None:
    """Write several class maps of a scene that a model predicts together, a GeoTIFF of each.

    The files are those of :func:`map_paths`; each is as by :func:`segment_scene`, whose arguments
    and errors are the same. If a run is killed after it has written some of them, the next one
    writes the others.

    Args:
        scene: The scene.
        predict: The model, whose logits are those of all maps, one map after another.
        output: OUTPUT.tif, of which the names of the files are made.
        maps: The maps.
        tile: See ``segment_scene``, also for the other arguments.
        overlap: Number of pixels shared by neighboring windows.
        probabilities: Write a band per class, see
            :func:`mmdynamicvis.data.class_maps.class_probabilities`.
        cog: Write cloud-optimized GeoTIFFs.
        settings: Other settings that affect the result.
        pace: Batch size, readers, and when to stop.

    Returns:
        The files, or None if ``pace`` ended the run before they were complete.
    """
    settings = dict(settings or {}, classes={part.name: list(part.classes) for part in maps})
    options = dict(tile=tile, overlap=overlap, probabilities=probabilities, cog=cog, pace=pace)
    outputs = dict(zip(map_paths(output, (part.name for part in maps)), maps, strict=True))
    done = _segment(scene, predict, outputs, _work_path(output), settings=settings, **options)
    return list(outputs) if done else None


def _segment(
    scene: Scene,
    predict: Scores,
    outputs: Mapping[Path, ClassMap],
    folder: Path,
    *,
    tile: int,
    overlap: int,
    probabilities: bool,
    cog: bool,
    settings: dict[str, Any],
    pace: Pace,
) -> bool:
    """Write all outputs, and return whether they are complete."""
    records = {path: f'written-{path.name}' for path in outputs if len(outputs) > 1}
    for path in outputs:
        if path not in records or not (folder / f'{records[path]}.npz').exists():
            check_output(path, scene)
    maps = list(outputs.values())
    for part in maps:
        if not 1 <= len(part.classes) <= NO_CLASS:
            raise ValueError(
                f'there are {len(part.classes)} classes; a map of classes has 1 to {NO_CLASS}'
            )
    channels = sum(part.num_logits for part in maps)
    grid = Grid(scene.height, scene.width, tile, overlap, scene.step)
    settings = dict(
        settings,
        task='classes of pixels',
        **scene.settings(),
        tile=tile,
        overlap=overlap,
        probabilities=probabilities,
        batch_size=pace.batch_size,
    )

    def pack(scores: np.ndarray | None, nodata: np.ndarray) -> dict[str, np.ndarray]:
        if scores is None:
            return {}
        if scores.shape != (channels, *nodata.shape):
            raise ValueError(
                f'the model returned {scores.shape} for a window of {nodata.shape} pixels and '
                f'{channels} classes; it must return (classes, H, W) logits'
            )
        # a model may exclude a class by -inf
        best = [part.max(0)[~nodata] for part in _split(scores, maps).values()]
        if not np.isfinite(best).all():
            raise ValueError(f'the model returned logits that are not finite. {NOT_FINITE}')
        return dict(nodata=nodata, scores=scores)

    with WorkFolder(folder, settings, shared=pace.part is not None) as work:
        left = [path for path in outputs if not _is_written(path, records.get(path), work)]
        for path in left:
            check_output(path, scene)
        if left:
            blending = _Blending(grid, work, maps, probabilities, pace)
            blending.advance()
            with closing(
                predict_tiles(scene, grid, predict, pack, work, blending.needed(), pace)
            ) as batches:
                for _ in batches:
                    blending.advance()
            if blending.rows or pace.part is not None:
                return False
        for path in left:
            part = outputs[path]
            bands = Bands([part.name], 'uint8', NO_CLASS, 'mode', part.palette)
            if probabilities:
                bands = Bands(part.classes, 'float32', np.nan, 'average')
            block = partial(blending.load, number=maps.index(part))
            record = partial(_record, work, records.get(path))
            write_raster(path, scene, grid, bands, block, work, cog, record)
        work.remove()
    return True


def _work_path(output: Path) -> Path:
    return output.with_name(f'{output.name}.work')


def _record(work: WorkFolder, record: str | None, file: Path) -> None:
    """Note that a file is an output, so that the next run knows it if this one is killed."""
    if record is not None:
        work.save(record, dict(digest=np.array(digest(file))))


def _is_written(path: Path, record: str | None, work: WorkFolder) -> bool:
    """Whether an output of several is complete: it is the file that a killed run has recorded."""
    if record is None or not work.has(record) or not path.is_file():
        return False
    return str(work.load(record)['digest']) == digest(path)


def _split(scores_KHW: np.ndarray, maps: Sequence[ClassMap]) -> dict[str, np.ndarray]:
    """Return the scores of each map."""
    ends = np.cumsum([part.num_logits for part in maps])[:-1]
    return dict(zip((part.name for part in maps), np.split(scores_KHW, ends), strict=True))


class _Blending:
    """Computes blocks of the outputs as soon as all tiles that overlap them are predicted.

    Tiles that no later block needs are deleted.
    """

    def __init__(
        self,
        grid: Grid,
        work: WorkFolder,
        maps: Sequence[ClassMap],
        probabilities: bool,
        pace: Pace,
    ) -> None:
        self.grid = grid
        self.work = work
        self.maps = maps
        self.probabilities = probabilities
        ramps = (_ramp(length, grid.overlap) for length in grid[0].shape)
        self.weights_HW = np.outer(*ramps)
        rows = list(grid.block_rows(BLOCK))
        own = pace.of_part(len(rows))
        self.rows = [
            rows[number] for number in own if not all(work.has(_name(box)) for box in rows[number])
        ]
        # other parts may be about to read these
        self._shared = {
            index
            for number, row in enumerate(rows)
            if number not in own
            for index in self._over(row)
        }

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
            for index in set(self._over(row)) - later - self._shared:
                self.work.discard(tile_name(index))

    def load(self, box: Box, number: int) -> np.ndarray:
        """Return a finished block of one of the maps, (bands, H, W)."""
        bands = [len(part.classes) if self.probabilities else 1 for part in self.maps]
        block = self.work.load(_name(box))['block']
        return np.split(block, np.cumsum(bands)[:-1])[number]

    def _over(self, row: Sequence[Box]) -> list[int]:
        return self.grid.over(Box(row[0].top, row[0].left, row[-1].bottom, row[-1].right))

    def _block(self, box: Box) -> np.ndarray:
        """Return the bands of all maps, one map after another, (bands, H, W)."""
        channels = sum(part.num_logits for part in self.maps)
        scores_KHW = np.zeros((channels, *box.shape), np.float32)
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
            classes_MHW = np.stack(
                list(class_maps(self.maps, _split(scores_KHW, self.maps)).values())
            )
            return np.where(nodata_HW, NO_CLASS, classes_MHW).astype(np.uint8)
        # nodata pixels may have no weight
        scores_KHW /= np.where(nodata_HW, np.nan, weight_HW)
        parts = {name: _softmax(part) for name, part in _split(scores_KHW, self.maps).items()}
        return np.concatenate(list(class_probabilities(self.maps, parts).values()))


def _softmax(scores_KHW: np.ndarray) -> np.ndarray:
    powers_KHW = np.exp(scores_KHW - scores_KHW.max(0))
    return powers_KHW / powers_KHW.sum(0)


def _name(box: Box) -> str:
    return f'block-{box.top:08d}-{box.left:08d}'


def _ramp(length: int, overlap: int) -> np.ndarray:
    """Return the (length,) weights along a tile; those of two tiles sum to 1 in the overlap."""
    if not overlap:
        return np.ones(length, np.float32)
    places = np.arange(length) + 0.5
    from_edge = np.minimum(places, length - places) / overlap
    return np.sin(np.pi / 2 * from_edge.clip(max=1)).astype(np.float32) ** 2
