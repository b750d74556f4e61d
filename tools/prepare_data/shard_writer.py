"""Write WebDataset shards of images with regions, in parallel, resumably and reproducibly.

A tool for a dataset provides a list of sources and a function that converts a source to a `Sample`.
The distribution of sources to shards depends only on the list and the seed, and shards contain
nothing specific to the machine, so the same call gives the same bytes, interrupted or not.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tqdm import tqdm

from mmdynamicvis.fileio import only_writer, shorten

if TYPE_CHECKING:
    from mmdynamicvis.pretraining.region_shards import ShardIndex

META = 'meta.json'
SKIPPED = 'skipped.json'
UNFINISHED = '.unfinished'  # folder of the state needed to continue, removed at the end
PLAN = 'plan.json'


class Skipped(NamedTuple):
    """A file, or one of its boxes (by index), that was left out of the shards."""

    file: str
    reason: str
    box: int | None = None


@dataclass(frozen=True)
class Sample:
    """An image and its regions.

    | field | value |
    |---|---|
    | key | name, unique in all shards, without dots |
    | image | content of an image file |
    | boxes | (x1, y1, x2, y2) of each region in pixels |
    | labels | category name of each region |
    """

    key: str
    image: bytes
    boxes: list[list[float]]
    labels: list[str]


Source = tuple[str, ...]
Convert = Callable[[Source], tuple[Sample | None, list[Skipped]]]


def write_shards(
    folder: Path,
    sources: Sequence[Source],
    convert: Convert,
    *,
    classes: Sequence[str],
    n_shards: int,
    seed: int,
    workers: int,
    force: bool,
    about: dict[str, Any],
) -> ShardIndex:
    """Write `000000.tar` etc., `skipped.json` and finally `meta.json`, or continue an earlier call.

    Shards whose sources are all skipped are not written.

    Args:
        folder: Folder of the shards: new, empty, or left by an interrupted call.
        sources: Arguments of `convert`; strings that name the files of a sample.
        convert: Function that returns the sample of a source (or None) and its skipped files and
            boxes. It must be picklable.
        classes: Names of the categories, in the order of their indices.
        n_shards: Number of shards.
        seed: Seed of the shuffle of the sources.
        workers: Number of processes.
        force: Whether to first remove the shards of an earlier call in the folder.
        about: Further settings that determine the result, for meta.json; they must be the same
            when an interrupted call is continued.

    Returns:
        The index of the shards; its `source` has `about`, counts, and the boxes per category.

    Raises:
        FileExistsError: The folder has finished shards or other files.
        ValueError: There are fewer sources than shards, all sources are skipped, or the
            interrupted call had other sources or arguments.
        BlockingIOError: Another process is writing into the folder.
    """
    if len(sources) < n_shards:
        raise ValueError(f'{len(sources)} samples do not fill {n_shards} shards; ask for fewer')
    names = hashlib.sha256('\n'.join(map('\t'.join, sources)).encode()).hexdigest()
    plan = about | {
        'seed': seed,
        'num_shards': n_shards,
        'num_files': len(sources),
        'files_sha256': names,
    }
    shuffled = random.Random(seed).sample(sources, len(sources))
    shards = {f'{i:06d}.tar': shuffled[i::n_shards] for i in range(n_shards)}
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder):
        if force:
            _remove_shards(folder)
        _begin(folder, plan)
        _write_missing(folder, shards, convert, workers)
        records = [json.loads(_record(folder, name).read_text()) for name in shards]
        return _finish(folder, records, tuple(classes), plan)


def _remove_shards(folder: Path) -> None:
    """Remove the shards of an earlier call, finished or not, and the files that belong to them.

    Raises:
        FileExistsError: The folder has other files; then nothing is removed.
    """
    unfinished, finished = folder / UNFINISHED, folder / META
    written = []
    for note in (finished, unfinished / META):
        meta = json.loads(note.read_text()) if note.exists() else {'source': {'files_sha256': ''}}
        if 'files_sha256' not in meta.get('source', {}):
            raise FileExistsError(f'{note} is not of this tool; choose another folder')
        written += meta.get('shards', [])
    written += [json.loads(path.read_text())['shard'] for path in unfinished.glob('*.tar.json')]
    # a file of another size is not what was written under its name
    shards = {
        shard['name']
        for shard in written
        if (path := folder / shard['name']).exists() and path.stat().st_size == shard['num_bytes']
    }
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - shards - {META, SKIPPED, UNFINISHED})
    if others:
        raise FileExistsError(
            f'{folder} is not empty, but holds what this tool did not write: {shorten(others)}; '
            'choose another folder, or remove it yourself'
        )
    unfinished.mkdir(exist_ok=True)
    if finished.exists():  # move it first: without it, the folder does not count as finished
        finished.replace(unfinished / META)
    for name in names & (shards | {SKIPPED}):
        (folder / name).unlink()
    shutil.rmtree(unfinished)


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Record the plan of a new call, or check that a continued call has the same plan."""
    unfinished = folder / UNFINISHED
    if (folder / META).exists():
        raise FileExistsError(f'{folder} has finished shards in it; pass --force to replace them')
    if not unfinished.exists():
        if any(folder.iterdir()):
            raise FileExistsError(f'{folder} is not empty, but holds no shards; choose another')
        unfinished.mkdir()
    if (unfinished / META).exists():
        raise FileExistsError(f'{folder} is half removed; pass --force to remove the rest')
    for path in unfinished.glob('*.tmp'):
        path.unlink()
    note = unfinished / PLAN
    if not note.exists():
        _write_json(note, plan)
    found = json.loads(note.read_text())
    changes = [f'{k} was {found.get(k)}, is {plan[k]}' for k in plan if found.get(k) != plan[k]]
    if changes:
        raise ValueError(
            f'{folder} is half written, from other files or arguments ({"; ".join(changes)}): '
            'repeat the call as it was, or pass --force to start again'
        )


def _record(folder: Path, name: str) -> Path:
    """Return the path of the record of a finished shard."""
    return folder / UNFINISHED / f'{name}.json'


def _is_finished(folder: Path, name: str) -> bool:
    if not _record(folder, name).exists():
        return False
    shard = json.loads(_record(folder, name).read_text())['shard']
    path = folder / name
    return shard['num_samples'] == 0 or (
        path.exists() and path.stat().st_size == shard['num_bytes']
    )


def _write_missing(
    folder: Path, shards: dict[str, list[Source]], convert: Convert, workers: int
) -> None:
    missing = [name for name in shards if not _is_finished(folder, name)]
    others = [n for n in missing if (folder / n).exists() and not _record(folder, n).exists()]
    if others:
        raise FileExistsError(
            f'{folder} has shards that this tool did not write: {shorten(others)}; move them'
        )
    done = sum(len(shards[name]) for name in shards.keys() - set(missing))
    context = get_context('spawn')  # a fork of a process with threads may hang
    counter = context.Value('q', done)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (counter,))
    total = sum(map(len, shards.values()))
    try:
        with tqdm(total=total, initial=done, desc='writing shards', unit='image') as bar:
            pending = {
                pool.submit(_write_shard, folder, name, shards[name], convert) for name in missing
            }
            while pending:
                finished, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
                bar.update(counter.value - bar.n)
                for future in finished:
                    future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(counter: Synchronized) -> None:
    global _counter
    _counter = counter
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the tool is killed, because it would wait for work forever."""
    parent_process().join()
    os._exit(1)


def _write_shard(folder: Path, name: str, sources: list[Source], convert: Convert) -> None:
    """Write the record of a shard, and the shard unless it is empty."""
    temporary = folder / UNFINISHED / f'{name}.{os.getpid()}.tmp'
    categories, skipped, n_samples = Counter(), [], 0
    with temporary.open('wb') as file:
        hashed = _HashedFile(file)
        with tarfile.open(fileobj=hashed, mode='w|', format=tarfile.USTAR_FORMAT) as tar:
            for source in sources:
                sample, problems = convert(source)
                skipped += problems
                if sample is not None:
                    _add_sample(tar, sample)
                    categories.update(sample.labels)
                    n_samples += 1
                with _counter.get_lock():
                    _counter.value += 1
        file.flush()
        os.fsync(file.fileno())
    shard = {
        'name': name,
        'num_samples': n_samples,
        'sha256': hashed.sha256.hexdigest(),
        'num_bytes': hashed.num_bytes,
    }
    _write_json(
        _record(folder, name), {'shard': shard, 'categories': categories, 'skipped': skipped}
    )
    # last, so that there is a record of every shard
    if n_samples:
        temporary.replace(folder / name)
    else:
        temporary.unlink()


class _HashedFile:
    """A file for writing that computes the SHA-256 of its content on the fly."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.num_bytes += len(data)


def _add_sample(tar: tarfile.TarFile, sample: Sample) -> None:
    regions = {'gt_bboxes': sample.boxes, 'gt_bboxes_labels': sample.labels}
    for suffix, data in (('jpg', sample.image), ('json', json.dumps(regions).encode())):
        member = tarfile.TarInfo(f'{sample.key}.{suffix}')  # time 0, no user: reproducible
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _finish(
    folder: Path, records: list[dict[str, Any]], classes: tuple[str, ...], plan: dict[str, Any]
) -> ShardIndex:
    """Write skipped.json and meta.json from the records of the shards."""
    # imported here, so that the workers, which import this module anew, do not import torch
    from mmdynamicvis.pretraining.region_shards import Shard, ShardIndex

    skipped = [Skipped(*entry) for record in records for entry in record['skipped']]
    skipped.sort(key=lambda s: (s.file, s.box or 0))
    files = [{'file': s.file, 'reason': s.reason} for s in skipped if s.box is None]
    boxes = [
        {'file': s.file, 'box': s.box, 'reason': s.reason} for s in skipped if s.box is not None
    ]
    _write_json(folder / SKIPPED, {'files': files, 'boxes': boxes})

    shards = [record['shard'] for record in records if record['shard']['num_samples']]
    if not shards:
        raise ValueError(
            f'nothing is left: all files are skipped, for reasons listed in {folder / SKIPPED}; '
            'correct them and pass --force to start again'
        )
    categories = sum((Counter(record['categories']) for record in records), Counter())
    source = plan | {
        'num_skipped_files': len(files),
        'num_skipped_boxes': len(boxes),
        'boxes_per_category': {name: categories[name] for name in classes},
    }
    index = ShardIndex(tuple(Shard(**shard) for shard in shards), classes, source, str(folder))
    index.write(folder)
    shutil.rmtree(folder / UNFINISHED)
    return index


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f'{path.name}.tmp')
    temporary.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    temporary.replace(path)
