"""Vectors of all images of an archive, or of windows of its scenes, on a Ray cluster.

The workers are those of Ray Core that ``infer_archive`` has, not Ray Data: Ray Data counts the
blocks that its workers could not process, but does not say which, so that a failure would have no
reason in the index; and it starts four actors of its own before the first worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from mmdynamicvis.archive.dates import parse_date
from mmdynamicvis.archive.embed_worker import PartitionWorker, Windows
from mmdynamicvis.archive.index import Index
from mmdynamicvis.archive.listing import RASTERS, Entry, list_scenes
from mmdynamicvis.archive.pool import Pool, capacity, maker, survey_by, threads_of
from mmdynamicvis.archive.ray_cluster import cluster
from mmdynamicvis.archive.survey import check_bands, state_of
from mmdynamicvis.embedding.image_index import make_embedder, settings_of
from mmdynamicvis.embedding.images import PLAIN
from mmdynamicvis.embedding.partitions import VECTORS, Header, Member, partitions_of, read_header
from mmdynamicvis.fileio import PARTIAL
from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.work_folder import WorkFolder

COLUMNS: dict[str, Any] = dict(
    name='',
    source='',
    status='pending',
    reason='',
    date='',
    height=0,
    width=0,
    bands=0,
    windows=0,
    transform='',
    state='',
    geometry=None,
)
"""Column of the index -> value of a source of which nothing is known."""
ROWS = 4096
"""Vectors of a partition: 6 MB of 384 numbers each."""


class EmbeddedArchive(NamedTuple):
    """What a run has made.

    Args:
        folder: Folder of the partitions.
        index: GeoParquet file with a row per source.
        vectors: Number of vectors in all partitions.
        done: Number of sources all of whose images or windows have been embedded.
        failed: Source and reason of the others.
    """

    folder: Path
    index: Path
    vectors: int
    done: int
    failed: dict[str, str]


class EmbeddingFolder(WorkFolder):
    """The folder of an archive's vectors, locked against other runs; see ``WorkFolder``."""

    def _results(self) -> Iterator[Path]:
        return iter(partitions_of(self.path))


def embed_archive(
    archive: str | Path,
    folder: str | Path,
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    tile: int | None = None,
    overlap: int = 0,
    nodata: float | None = None,
    alpha: str | None = None,
    date: str | None = None,
    fields: Sequence[str] = (),
    rows: int = ROWS,
    address: str | None = None,
    workers: int | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    device: str | None = None,
    batch_size: int = 16,
    readers: int = 2,
    **options: Any,
) -> EmbeddedArchive:
    """Embed all images of an archive, or the windows of its scenes, on a Ray cluster.

    ``folder`` gets partitions, ``vectors/part-NUMBER.parquet``, and ``index.parquet`` with a row
    per source. A partition is written under another name and renamed by this process alone, and
    its metadata say what it is of: so a second run does what is missing, and no row is there twice
    or lost, whichever process is killed.

    Columns of a partition are ``source``, ``date`` and ``vector``, and those of windows also
    ``row``, ``column``, ``height``, ``width`` (pixels of the raster), ``crs`` (of the raster),
    ``nodata`` (share of pixels) and ``geometry`` (outline in longitude and latitude, GeoParquet).
    Windows without any data have no row.

    Args:
        archive: Folder, text list, index of footprints or item collection of STAC; see
            :func:`mmdynamicvis.archive.listing.list_scenes`. Of a folder, whole images are also
            taken from .png, .jpg, .jpeg, .bmp and .webp.
        folder: Folder of the outputs, new or of an earlier run with the same settings. All workers
            must see it under this path.
        model: Checkpoint, config, or name of weights; see
            :class:`mmdynamicvis.embedding.Embedder`.
        checkpoint: Weights for a config.
        tile: Side in pixels of the windows of a scene. Without it, each image has one vector, and
            no place.
        overlap: Number of pixels shared by neighboring windows.
        nodata: Value of nodata pixels, for scenes that do not state one.
        alpha: How to interpret a band that a scene calls alpha: 'mask' or 'band', see
            ``LoadGeoTIFF``.
        date: Date of all sources, YYYY-MM-DD. By default that of the item of STAC, else that in
            the tags of the file: the acquisition in GDAL's domain IMAGERY, DateTime of TIFF, or
            DateTimeOriginal of Exif.
        fields: Column of the index, or asset of the items, with the raster.
        rows: Largest number of windows or images of a partition.
        address: Address of a Ray cluster, 'auto' or 'local'; see
            :func:`mmdynamicvis.archive.ray_cluster.cluster`.
        workers: Number of workers; by default as many as the cluster has resources for.
        num_cpus: CPU cores per worker, which are also torch's threads.
        num_gpus: GPUs per worker; a fraction lets workers share one.
        device: Device of the model; by default the worker's GPU, or the CPU if it has none.
        batch_size: Largest number of images per forward pass.
        readers: Threads per worker that read ahead.
        **options: Other arguments of ``Embedder``: size, bands, sensor, unit, mean, std.

    Returns:
        The files and the outcome of each source.

    Raises:
        OSError: The archive or the model cannot be read, or the outputs cannot be written; or
            another run writes into the folder.
        ValueError: The archive has no images; an argument is unknown or does not match the others;
            the folder has outputs of other settings; or a partition is damaged.
    """
    windows = _windows(tile, overlap, nodata, alpha)
    _check_numbers(rows=rows, workers=workers, batch_size=batch_size, readers=readers)
    if date is not None:
        date = parse_date(date).isoformat()
    suffixes = RASTERS if windows else (*PLAIN, *RASTERS)
    entries = [_checked(entry, windows) for entry in list_scenes(archive, fields, suffixes)]
    settings = _model_settings(model, checkpoint, options, tile)
    settings.update(task='embed', tile=tile, overlap=overlap, nodata=nodata, alpha=alpha, date=date)
    if device is None and not num_gpus:
        device = 'cpu'
    with EmbeddingFolder(Path(folder).absolute(), settings) as work:
        vectors = work.path / VECTORS
        vectors.mkdir(exist_ok=True)
        headers = {path: read_header(path) for path in partitions_of(work.path)}
        index = Index(work, COLUMNS)
        found = [index.add(entry.sources, entry.reason) for entry in entries]
        covered = _covered(headers)
        todo = [row for row in found if row['name'] and not _is_known(row, covered)]
        with ExitStack() as running:
            unfinished = running.enter_context(TemporaryDirectory(prefix=PARTIAL, dir=work.path))
            pool = Pool(
                partial(
                    maker(PartitionWorker, num_cpus, num_gpus),
                    settings,
                    windows,
                    Path(unfinished),
                    device,
                    threads_of(num_cpus),
                    batch_size,
                    readers,
                )
            )

            def hire(tasks: int) -> None:
                """Start workers for this number of tasks, and before the first one the cluster."""
                if tasks:
                    running.enter_context(cluster(address))
                    pool.hire(min(workers or capacity(num_cpus, num_gpus), tasks))

            if windows:
                hire(len(todo))
                survey_by(pool, todo)
                check_bands(found, todo, options.get('bands'))
            for row, entry in zip(found, entries, strict=True):
                _count(row, windows, date or entry.date, covered)
            index.update(last=True)
            parts = _plan(found, covered, rows)
            hire(len(parts))
            first = 1 + max((int(path.stem.rpartition('-')[2]) for path in headers), default=-1)
            made = sum(header.rows for header in headers.values())
            made += _embed(pool, parts, vectors, first, found, index)
        index.update(last=True)
    failed = {row['source']: row['reason'] for row in found if row['status'] == 'failed'}
    done = sum(row['status'] == 'done' for row in found)
    return EmbeddedArchive(vectors, index.path, made, done, failed)


def _windows(
    tile: int | None, overlap: int, nodata: float | None, alpha: str | None
) -> Windows | None:
    if tile is None:
        given = dict(overlap=overlap or None, nodata=nodata, alpha=alpha)
        if wrong := [name for name, value in given.items() if value is not None]:
            raise ValueError(f'{", ".join(wrong)} is for windows of scenes: give tile=..., too')
        return None
    Grid(tile, tile, tile, overlap)  # raises an error unless they fit
    return Windows(tile, overlap, nodata, alpha)


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f'{name} is {value}; give 1 or more')


def _checked(entry: Entry, windows: Windows | None) -> Entry:
    """Give an entry a reason that cannot be embedded."""
    if entry.reason:
        return entry
    if len(entry.sources) > 1:
        reason = f'it has {len(entry.sources)} rasters: list each on a line of its own'
        return entry._replace(reason=reason)
    if windows is None and '://' in entry.sources[0]:
        return entry._replace(reason='it is remote, and whole images are read from disk: give tile')
    return entry


def _model_settings(
    model: str | Path, checkpoint: str | Path | None, options: dict[str, Any], tile: int | None
) -> dict[str, Any]:
    """Return the settings of the model, after trying whether they fit."""
    known = ('size', 'bands', 'sensor', 'unit', 'mean', 'std')
    if unknown := [name for name in options if name not in known]:
        raise ValueError(f'unknown options {", ".join(unknown)}; there are {", ".join(known)}')
    settings = settings_of(model, checkpoint, **{name: options.get(name) for name in known})
    smallest = make_embedder(settings, 'cpu').model.min_size
    if tile is not None and options.get('size') is None and tile < smallest:
        raise ValueError(f'tile is {tile}; the backbone needs {smallest} pixels')
    return settings


class _Covered(NamedTuple):
    """Windows of a source that have been embedded."""

    states: set[str]
    ranges: list[tuple[int, int]]
    files: list[str]


def _covered(headers: dict[Path, Header]) -> dict[str, _Covered]:
    found: dict[str, _Covered] = defaultdict(lambda: _Covered(set(), [], []))
    for path, header in headers.items():
        for source, state, *numbers in header.members:
            found[source].states.add(state)
            found[source].ranges.append(tuple(numbers))
            found[source].files.append(f'{VECTORS}/{path.name}')
    return dict(found)


def _is_known(row: dict[str, Any], covered: dict[str, _Covered]) -> bool:
    """Whether size and place of a source are known, or it has changed; others are reset."""
    state, before = state_of(row['source']), covered.get(row['source'])
    if before and before.states != {state}:
        files = ', '.join(before.files)
        row.update(
            status='failed',
            reason=f'it has changed since its vectors were made: remove {files}, and run again',
        )
        return True
    known = row['state'] == state and row['height'] > 0 and row['geometry'] is not None
    if not known:
        row.update(COLUMNS | dict(name=row['name'], source=row['source']))
    row.update(status='pending', reason='', state=state)
    return known


def _count(
    row: dict[str, Any], windows: Windows | None, date: str, covered: dict[str, _Covered]
) -> None:
    """Fill in number of windows and date of a source that is to be embedded."""
    if row['status'] != 'pending':
        return
    row['date'] = parse_date(date).isoformat() if date else row['date']
    row['windows'] = 1
    if windows:
        grid = Grid(row['height'], row['width'], windows.tile, windows.overlap)
        row['windows'] = len(grid)
    before = covered.get(row['source'])
    if before and max(stop for _, stop in before.ranges) > row['windows']:
        row.update(
            status='failed',
            reason=f'it has fewer windows than {", ".join(before.files)} say, so that it has '
            'changed: remove these files, and run again',
        )


def _plan(
    rows: Sequence[dict[str, Any]], covered: dict[str, _Covered], size: int
) -> list[list[tuple[Member, str]]]:
    """Return the members of the partitions that are missing, and their dates."""
    parts: list[list[tuple[Member, str]]] = []
    room = 0
    for row in rows:
        if row['status'] != 'pending':
            continue
        before = covered.get(row['source'])
        gaps = _gaps(before.ranges if before else [], row['windows'])
        row['status'] = 'pending' if gaps else 'done'
        for start, stop in gaps:
            while start < stop:
                if not room:
                    parts.append([])
                    room = size
                end = min(start + room, stop)
                parts[-1].append((Member(row['source'], row['state'], start, end), row['date']))
                start, room = end, room - (end - start)
    return parts


def _gaps(ranges: Sequence[tuple[int, int]], number: int) -> list[tuple[int, int]]:
    """Return the parts of 0 to ``number`` that no range covers."""
    gaps, begin = [], 0
    for start, stop in [*sorted(ranges), (number, number)]:
        if start > begin:
            gaps.append((begin, start))
        begin = max(begin, stop)
    return gaps


def _embed(
    pool: Pool,
    parts: Sequence[list[tuple[Member, str]]],
    folder: Path,
    first: int,
    rows: Sequence[dict[str, Any]],
    index: Index,
) -> int:
    """Make the partitions, and return the number of their vectors."""
    by_source = {row['source']: row for row in rows if row['status'] == 'pending'}
    left = dict.fromkeys(by_source, 0)
    for part in parts:
        for member, _ in part:
            left[member.source] += member.stop - member.start
    calls = [
        lambda worker, number=number, part=part: worker.embed.remote(number, part)
        for number, part in enumerate(parts)
    ]
    vectors = 0
    for number, made in pool.run(calls):
        if made.get('file'):
            # by this process alone, which holds the lock of the folder
            Path(made['file']).rename(folder / f'part-{first + number:06}.parquet')
            vectors += made['rows']
        for member, _ in parts[number]:
            row = by_source[member.source]
            reason = made['reason'] or made['failed'].get(member.source)
            if reason:
                row.update(status='failed', reason=reason)
                continue
            left[member.source] -= member.stop - member.start
            if not left[member.source] and row['status'] == 'pending':
                row['status'] = 'done'
        index.update()
    return vectors
