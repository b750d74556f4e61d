"""Inference on all scenes of an archive, on a Ray cluster."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmengine.config import Config

from mmdynamicvis.archive.index import SCENES, ArchiveFolder, Index
from mmdynamicvis.archive.listing import list_scenes
from mmdynamicvis.archive.merging import merge_scenes
from mmdynamicvis.archive.pool import Pool, capacity, maker, survey_by, threads_of
from mmdynamicvis.archive.ray_cluster import cluster
from mmdynamicvis.archive.survey import check_bands, state_of
from mmdynamicvis.archive.worker import SceneWorker, windows
from mmdynamicvis.scenes.dense import map_paths
from mmdynamicvis.scenes.infer import infer_scene
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, Pace

OPTIONS = (
    'tile',
    'overlap',
    'bands',
    'sensor',
    'nodata',
    'alpha',
    'scaling',
    'probabilities',
    'cog',
    'min_score',
    'min_agreement',
)
"""Arguments of ``infer_scene`` that are the same for all scenes."""
PARTS = 4
"""Parts of the work of an archive per worker: a scene of two or more is split."""
GROUP = 16
"""Smallest number of windows for which a scene is opened once more."""


class Archive(NamedTuple):
    """What a run has made.

    Args:
        index: GeoParquet file with a row per scene.
        merged: Layer of the objects of all scenes; None for classes of pixels, or without scenes.
        done: Number of scenes with an output.
        failed: Source and reason of each scene without one.
    """

    index: Path
    merged: Path | None
    done: int
    failed: dict[str, str]


def infer_archive(
    archive: str | Path,
    folder: str | Path,
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    fields: Sequence[str] = (),
    merged: Literal['gpkg', 'parquet'] = 'gpkg',
    address: str | None = None,
    workers: int | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    device: str | None = None,
    pace: Pace = DEFAULT_PACE,
    **options: Any,
) -> Archive:
    """Run a model on all scenes of an archive, on a Ray cluster.

    Each worker holds the model and runs :func:`mmdynamicvis.scenes.infer_scene` on one scene after
    another, large ones first. Scenes that are large for the archive are split into groups of
    windows, which several workers predict. A scene that fails is recorded with its reason and does
    not stop the others. A second run does what is missing or failed. After the death of a worker
    or of this process, windows that were finished are not computed again.

    ``folder`` gets ``index.parquet`` (a row per scene: footprint in longitude and latitude,
    source, output, status, reason, seconds, counts), ``scenes/NAME.tif`` (``NAME_MAP.tif`` of each
    map if the model has several) or ``.gpkg``, and for objects ``objects.gpkg`` or ``.parquet``:
    those of all scenes, without duplicates where scenes overlap.

    Args:
        archive: Folder, text list, index of footprints or item collection of STAC; see
            :func:`mmdynamicvis.archive.listing.list_scenes`.
        folder: Folder of the outputs, new or of an earlier run with the same settings. All workers
            must see it under this path.
        config: See ``infer_scene``.
        checkpoint: See ``infer_scene``.
        fields: Columns of the index, or assets of the items, with the rasters.
        merged: Format of the layer of all objects.
        address: Address of a Ray cluster, 'auto' or 'local'; see
            :func:`mmdynamicvis.archive.ray_cluster.cluster`.
        workers: Number of workers; by default as many as the cluster has resources for.
        num_cpus: CPU cores per worker, which are also torch's threads.
        num_gpus: GPUs per worker; a fraction lets workers share one.
        device: Device of the model; by default the worker's GPU, or the CPU if it has none.
        pace: Batch size and readers of each worker.
        **options: Other arguments of ``infer_scene``: tile, overlap, bands, sensor, nodata, alpha,
            scaling, probabilities, cog, min_score, min_agreement.

    Returns:
        The files and the outcome of each scene.

    Raises:
        OSError: The archive, the config or the weights cannot be read, the index cannot be
            written, or another run writes into the folder.
        ValueError: The archive has no scenes; an argument is unknown or does not match the others;
            or the folder has outputs of other settings.
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ValueError(f'unknown options {", ".join(unknown)}; there are {", ".join(OPTIONS)}')
    for name in ('max_tiles', 'part'):
        if getattr(pace, name) is not None:
            raise ValueError(f'pace.{name} is for single scenes: leave it out')
    if workers is not None and workers < 1:
        raise ValueError(f'workers is {workers}; give 1 or more')
    if merged not in ('gpkg', 'parquet'):
        raise ValueError(f"merged is {merged!r}; give 'gpkg' or 'parquet'")
    entries = list_scenes(archive, fields)
    if isinstance(config, Path):
        config = str(config)
    if device is None and not num_gpus:
        device = 'cpu'
    pace = replace(pace, progress=False)
    with cluster(address):
        threads = threads_of(num_cpus)
        make = maker(SceneWorker, num_cpus, num_gpus)
        make = partial(make, config, checkpoint, device, threads, pace, options)
        pool = Pool(make)
        model = pool.ask(lambda worker: worker.describe.remote())
        settings = dict(
            model['settings'], task='archive', **_complete(options), batch_size=pace.batch_size
        )
        with ArchiveFolder(Path(folder).absolute(), settings) as work:
            work.scenes.mkdir(exist_ok=True)
            index = Index(work)
            suffix = '.gpkg' if model['objects'] else '.tif'
            rows = [index.add(entry.sources, entry.reason) for entry in entries]
            for row in rows:
                if row['name']:
                    output = Path(SCENES, f'{row["name"]}{suffix}')
                    row['output'] = '\t'.join(map(str, map_paths(output, model['maps'])))
            todo = [row for row in rows if row['name'] and not _is_done(row, work)]
            count = min(workers or capacity(num_cpus, num_gpus), max(len(todo), 1))
            pool.hire(count)
            survey_by(pool, todo)
            index.update(last=True)
            check_bands(rows, todo, options.get('bands'))
            layer = work.path / f'objects.{merged}' if model['objects'] else None
            left = [row for row in todo if row['status'] == 'pending']
            if layer and left:  # it would lack them, also if this run is killed
                layer.unlink(missing_ok=True)
            _count_windows(rows, model['tile'], options)
            _infer(pool, left, count, work, index, suffix)
            done = [row for row in rows if row['status'] == 'done']
            index.update(last=True)
            if layer and done and not layer.exists():
                merge_scenes(
                    done,
                    work,
                    layer,
                    model['kind'],
                    options.get('tile') or model['tile'],
                    _complete(options)['min_agreement'],
                )
    failed = {row['source']: row['reason'] for row in rows if row['status'] == 'failed'}
    return Archive(index.path, layer if done else None, len(done), failed)


def _complete(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of ``infer_scene`` with its default values."""
    parameters = inspect.signature(infer_scene).parameters
    return {name: options.get(name, parameters[name].default) for name in OPTIONS}


def _is_done(row: dict[str, Any], work: ArchiveFolder) -> bool:
    """Whether a scene has its output; the row of one that must be done again is reset."""
    outputs = row['output'].split('\t')
    there, state = all((work.path / name).exists() for name in outputs), state_of(row['source'])
    if there and row['state'] not in ('', state):
        row.update(
            status='failed',
            reason=f'it has changed since {" and ".join(outputs)} was made: remove that',
        )
    elif not there or row['status'] != 'done':
        row.update(status='pending', reason='', state=state)
    return row['status'] != 'pending'


def _infer(
    pool: Pool,
    todo: Sequence[dict[str, Any]],
    workers: int,
    work: ArchiveFolder,
    index: Index,
    suffix: str,
) -> None:
    """Write the outputs of scenes: first parts of the large ones and the others, then those."""
    group = max(GROUP, sum(row['windows'] for row in todo) // (PARTS * workers))
    spent = dict.fromkeys((row['source'] for row in todo), 0.0)
    tasks: list[tuple[dict[str, Any], tuple[int, int] | None]] = []
    # large ones first, so that none is left to a single worker in the end
    for row in sorted(todo, key=lambda row: -row['windows']):
        parts = row['windows'] // group if workers > 1 else 1
        # neighbors share windows: the second ones find those of the first ones
        numbers = [*range(0, parts, 2), *range(1, parts, 2)]
        tasks += [(row, (n, parts)) for n in numbers] if parts > 1 else [(row, None)]
    while tasks:
        calls = [
            lambda worker, row=row, part=part: worker.infer.remote(
                row['source'], work.scenes / f'{row["name"]}{suffix}', part
            )
            for row, part in tasks
        ]
        for number, found in pool.run(calls):
            row, part = tasks[number]
            spent[row['source']] += found.get('seconds', 0.0)
            if part is None:
                row.update(found, seconds=spent[row['source']])
                index.update()
        # they find the windows of their parts; what failed is tried again, and its reason kept
        tasks = [(row, None) for row, part in tasks if part and not part[0]]


def _count_windows(rows: Sequence[dict[str, Any]], tile: int, options: dict[str, Any]) -> None:
    tile = options.get('tile') or tile
    overlap = options.get('overlap')
    overlap = tile // 4 if overlap is None else overlap
    for row in rows:
        if row['height']:
            row['windows'] = windows(row['height'], row['width'], tile, overlap)
