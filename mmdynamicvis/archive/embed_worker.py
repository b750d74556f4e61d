"""A process of the cluster that holds an embedder and writes partitions of vectors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import rasterio
import shapely
import torch
from torch import Tensor

from mmdynamicvis.archive.dates import date_of_image, date_of_raster, parse_date
from mmdynamicvis.archive.pool import Worker
from mmdynamicvis.archive.survey import crs_of, outlines, state_of, survey
from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.embedding.embedder import UNFIT
from mmdynamicvis.embedding.image_index import make_embedder
from mmdynamicvis.embedding.images import RASTERS, read_image
from mmdynamicvis.embedding.partitions import BOX, Member, write_partition
from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.reading import GDAL_CACHE, Scene, read_ahead
from mmdynamicvis.scenes.remote import open_raster

EDGE = 4
"""Parts of a side of a window whose ends are projected."""


class Windows(NamedTuple):
    """How scenes are cut and read; see ``embed_archive``."""

    tile: int
    overlap: int
    nodata: float | None
    alpha: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a partition besides those of images."""
        return (*BOX, 'crs', 'nodata', 'geometry')


class _Image:
    """An image that is read whole."""

    def __init__(self, member: Member, date: str, reading: Mapping[str, Any]) -> None:
        self.member = member
        self.reason = ''
        """Why it failed."""
        self._date = date
        self._reading = reading

    def read(self, number: int) -> tuple[Tensor, dict[str, Any]]:
        """Return pixels (bands, H, W) and the columns of the row."""
        _check_state(self.member)
        path = Path(self.member.source)
        pixels_CHW = read_image(path, **self._reading)
        if self._date:
            date = parse_date(self._date)
        elif path.suffix.lower() in RASTERS:
            with open_raster(str(path)) as file:
                date = date_of_raster(file)
        else:
            date = date_of_image(path)
        return pixels_CHW, dict(source=self.member.source, date=date)

    def close(self) -> None:
        """Close files."""


class _Scene:
    """A scene of which windows are read, in several threads."""

    def __init__(
        self, member: Member, date: str, reading: Mapping[str, Any], windows: Windows
    ) -> None:
        self.member = member
        self.reason = ''
        """Why it failed."""
        self._date = date
        self._loader = LoadGeoTIFF(**reading, nodata=windows.nodata, alpha=windows.alpha)
        self._windows = windows
        self._lock = Lock()
        self._scene: Scene | None = None

    def read(self, number: int) -> tuple[Tensor, dict[str, Any]] | None:
        """Return pixels (bands, H, W) and the columns of the row; None if all are nodata."""
        with self._lock:
            if self._scene is None:
                self._open()
        box = self._grid[number]
        (image_HWC,), nodata_HW = self._scene.read(box)
        if nodata_HW.all():
            return None
        own = dict(self._columns, geometry=self._outlines[number - self.member.start])
        own.update(zip(BOX, (box.top, box.left, *box.shape), strict=True))
        own['nodata'] = float(nodata_HW.mean())
        return torch.from_numpy(image_HWC).movedim(-1, 0), own

    def close(self) -> None:
        """Close files."""
        if self._scene is not None:
            self._scene.close()

    def _open(self) -> None:
        source, _, start, stop = self.member
        _check_state(self.member)
        scene = Scene(source, self._loader)
        self._grid = Grid(scene.height, scene.width, self._windows.tile, self._windows.overlap)
        with open_raster(source) as file:
            date = parse_date(self._date) if self._date else date_of_raster(file)
            self._columns = dict(source=source, date=date, crs=crs_of(file).to_string())
            boxes = [self._grid[number] for number in range(start, stop)]
            self._outlines = shapely.to_wkb(outlines(file, boxes, EDGE))
        self._scene = scene


def _check_state(member: Member) -> None:
    if state_of(member.source) != member.state:
        raise ValueError('it has changed since this run began: run the same command again')


class PartitionWorker(Worker):
    """Embeds the images or windows of a partition, and writes it.

    Args:
        settings: Of the model; see :func:`mmdynamicvis.embedding.image_index.settings_of`.
        windows: How scenes are cut; None embeds whole images.
        folder: Folder of unfinished partitions.
        device: Device of the model.
        threads: CPU threads of torch.
        batch_size: Images per forward pass.
        readers: Threads that read ahead.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        windows: Windows | None,
        folder: Path,
        device: str | None,
        threads: int,
        batch_size: int,
        readers: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._settings = settings
        self._windows = windows
        self._folder = folder
        self._device = device
        self._batch_size = batch_size
        self._readers = readers

    @cached_property
    def _embedder(self) -> Embedder:
        # not by the constructor, whose errors Ray reports as the death of the worker
        embedder = make_embedder(self._settings, self._device)
        embedder.batch_size = self._batch_size
        return embedder

    def survey(self, sources: Sequence[str]) -> list[dict[str, Any]]:
        """Return size, bands, place and date of scenes, or the reason why there are none."""
        return survey(sources)

    def embed(self, number: int, members: Sequence[tuple[Member, str]]) -> dict[str, Any]:
        """Write a partition; errors are returned, not raised.

        Args:
            number: Its number.
            members: What it is of, each with its date; without one, that of the file is taken.

        Returns:
            ``file``, the partition, empty if there is none; ``rows``, its number of vectors;
            ``failed``, source -> reason; ``reason``, why the whole partition failed; ``seconds``.
        """
        begin = time.monotonic()
        made = dict(file='', rows=0, failed={}, reason='')
        try:
            sources = [self._source(*pair) for pair in members]
            made['file'], made['rows'] = self._write(number, sources)
            made['failed'] = {one.member.source: one.reason for one in sources if one.reason}
        except Exception as error:  # recorded, so that it stops no other partition
            made['reason'] = f'{type(error).__name__}: {error}'
        return dict(made, seconds=time.monotonic() - begin)

    def _source(self, member: Member, date: str) -> _Image | _Scene:
        reading = self._embedder.reading
        if self._windows is None:
            return _Image(member, date, reading)
        return _Scene(member, date, reading, self._windows)

    def _write(self, number: int, sources: Sequence[_Image | _Scene]) -> tuple[str, int]:
        embedded = list(self._embed(sources))
        made = [source.member for source in sources if not source.reason]
        if not made:
            return '', 0
        embedded = [(own, vector) for source, own, vector in embedded if not source.reason]
        names = ['source', 'date', *(self._windows.columns if self._windows else ())]
        columns: dict[str, Any] = {name: [own[name] for own, _ in embedded] for name in names}
        # no row at all if windows are without data
        no_vectors = torch.zeros(0, self._embedder.model.embed_dims[-1])
        vectors = [vector[None] for _, vector in embedded]
        columns['vector'] = torch.cat([no_vectors, *vectors]).numpy()
        # a name of its own: a worker that was given up may still write
        path = Path(self._folder, f'{number}-{os.uname().nodename}-{os.getpid()}.parquet')
        write_partition(path, columns, made, self._settings)
        return str(path), len(embedded)

    def _embed(
        self, sources: Sequence[_Image | _Scene]
    ) -> Iterator[tuple[_Image | _Scene, dict[str, Any], Tensor]]:
        """Yield source, columns and vector of each image; a source that fails gets a reason."""
        items = [
            (source, number)
            for source in sources
            for number in range(source.member.start, source.member.stop)
        ]
        last = {id(source): place for place, (source, _) in enumerate(items)}
        starts = range(0, len(items), self._batch_size)
        batches = [range(start, min(start + self._batch_size, len(items))) for start in starts]
        with ExitStack() as files, rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
            for source in sources:
                files.callback(source.close)
            ahead = read_ahead(
                lambda batch: [_read(*items[place]) for place in batch], batches, self._readers
            )
            # stops the threads before files are closed
            for batch, images in files.enter_context(closing(ahead)):
                found = [
                    (items[place][0], *image)
                    for place, image in zip(batch, images, strict=True)
                    if image is not None
                ]
                yield from self._vectors(found)
                for place in batch:
                    if last[id(items[place][0])] == place:
                        items[place][0].close()

    def _vectors(
        self, found: Sequence[tuple[_Image | _Scene, Tensor, dict[str, Any]]]
    ) -> Iterator[tuple[_Image | _Scene, dict[str, Any], Tensor]]:
        try:
            vectors = self._embedder([pixels for _, pixels, _ in found])
        except UNFIT as error:
            if len(found) == 1:
                found[0][0].reason = found[0][0].reason or f'{type(error).__name__}: {error}'
                return
            # one by one, to find the image at fault
            for one in found:
                yield from self._vectors([one])
            return
        for (source, _, own), vector in zip(found, vectors, strict=True):
            yield source, own, vector


def _read(source: _Image | _Scene, number: int) -> tuple[Tensor, dict[str, Any]] | None:
    if source.reason:
        return None
    try:
        return source.read(number)
    except Exception as error:  # recorded, so that it stops no other source
        source.reason = f'{type(error).__name__}: {error}'
        return None
