r"""Search folders of images for similar images.

    python tools/search_images.py build archive.safetensors IMAGES --model epoch_12.pth
    python tools/search_images.py add archive.safetensors MORE_IMAGES
    python tools/search_images.py find archive.safetensors query.jpg -k 10 --picture found.png
    python tools/search_images.py remove archive.safetensors IMAGES/old_1.jpg IMAGES/old_2.jpg

    python tools/search_images.py build archive.parquet EMBEDDED --approximate
    python tools/search_images.py add archive.parquet EMBEDDED
    python tools/search_images.py find archive.parquet query.jpg --bbox 6 50 8 52 --from 2024-05-01

The index is one file (.safetensors, .npz or .parquet) with a vector and the path of each image. It
records the model that made it; the model's files must not be moved or changed. Images that are
damaged or unsuitable for the model are skipped with a warning. `add` also updates the vectors of
images whose size or time of modification has changed. Files are replaced atomically.

`build --approximate` also writes archive.safetensors.faiss, which `add` and `remove` keep up to
date. With it, `find` compares a query with the images of the nearest clusters alone, by cosine.

EMBEDDED is the folder of embed_archive.py; `add` takes the partitions that are new in it, and
`remove` the path of a scene for all its windows. These indices have places and dates to find by.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from mmdynamicvis.data.sensors import SENSORS, UNITS, number_or_name
from mmdynamicvis.embedding import Embeddings, filters
from mmdynamicvis.embedding.image_index import (
    embed_images,
    indexed_picture,
    make_embedder,
    settings_of,
    stamp_of,
)
from mmdynamicvis.embedding.images import find_images
from mmdynamicvis.fileio import only_writer, refuse_to_overwrite, shorten
from mmdynamicvis.retrieval import CODES, ApproximateIndex, VectorIndex
from mmdynamicvis.retrieval.approximate_index import (
    candidates,
    check_approximate,
    numbers_of,
    rank,
)
from mmdynamicvis.retrieval.vector_index import Distance
from mmdynamicvis.visualization import show_search_results, write_picture

OPTIONS = ('size', 'bands', 'sensor', 'unit', 'mean', 'std')
"""Arguments of ``Embedder``."""
FEW = 100_000
"""Images of a place and time that are all compared with a query: preparing them takes 0.8 s."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    build = commands.add_parser('build', help='build an index of a folder')
    add = commands.add_parser('add', help='add the images of a folder that are not in the index')
    find = commands.add_parser('find', help='find the images nearest to query images')
    remove = commands.add_parser('remove', help='remove images from the index')
    for command in (build, add, find, remove):
        command.add_argument('index', type=Path, help='.safetensors, .npz or .parquet')
    for command in (build, add, find):
        command.add_argument('--device')
    for command in (build, add):
        command.add_argument('folder', type=Path)
    build.add_argument('--model', help='checkpoint or config; EMBEDDED has its own')
    build.add_argument('--checkpoint', help='weights for a config')
    build.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='resize images')
    build.add_argument(
        '--bands', type=number_or_name, nargs='+', help='bands of rasters, names or numbers from 1'
    )
    build.add_argument('--sensor', choices=list(SENSORS), help='sensor of rasters')
    build.add_argument('--unit', choices=UNITS, help='unit of rasters, for mean and std')
    build.add_argument('--mean', type=float, nargs='+', help='mean of each band')
    build.add_argument('--std', type=float, nargs='+', help='standard deviation of each band')
    build.add_argument('--force', action='store_true', help='overwrite the index')
    build.add_argument(
        '--approximate', action='store_true', help='for fast search of many images; needs faiss'
    )
    build.add_argument(
        '--recall', type=float, default=0.95, help='of --approximate (default: %(default)s)'
    )
    remove.add_argument('images', nargs='+', help='files, which may be deleted')
    find.add_argument('queries', type=Path, nargs='+')
    find.add_argument('-k', type=int, default=10, help='number of results (default: %(default)s)')
    find.add_argument(
        '--code', choices=list(CODES), default='float', help='vectors or codes to compare'
    )
    find.add_argument(
        '--distance', choices=get_args(Distance)[:2], default='cosine', help='for float vectors'
    )
    find.add_argument('--exact', action='store_true', help='compare with all images in any case')
    find.add_argument(
        '--bbox',
        type=float,
        nargs=4,
        metavar=('WEST', 'SOUTH', 'EAST', 'NORTH'),
        help='only images that meet this box in degrees (EPSG:4326)',
    )
    find.add_argument('--area', type=Path, help='only images that meet the shapes of a vector file')
    find.add_argument(
        '--from', dest='first', type=_day, help='only images of this day or later, YYYY-MM-DD'
    )
    find.add_argument('--to', dest='last', type=_day, help='only images of this day or earlier')
    find.add_argument('--picture', type=Path, help='picture of queries and results')
    args = parser.parse_args()
    if args.command == 'find' and args.bbox and args.area:
        parser.error('give --bbox or --area')
    return args


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no day: give YYYY-MM-DD') from error


def build(args: argparse.Namespace) -> None:
    outputs = [args.index, fast_index(args.index)]
    refuse_to_overwrite(outputs, [args.model, args.checkpoint], args.force)
    if args.approximate:
        check_approximate(args.recall)  # before the images are read
    options = {name: getattr(args, name) for name in OPTIONS}
    if is_archive(args.folder):
        _build_of_archive(args, options)
        return
    if args.model is None:
        raise ValueError('give --model')
    settings = settings_of(args.model, args.checkpoint, **options)
    paths = find_images(args.folder)
    made = embed_images(paths, settings, args.device)
    if not made.names:
        raise ValueError(f'none of the {len(paths)} images in {args.folder} fits: no index is made')
    replace(args.index, made)
    print(f'{args.index}: {len(made.names)} images{left_out(len(paths) - len(made.names))}')
    if args.approximate:
        save_fast(args.index, ApproximateIndex(made.vectors, numbers_of(made.names), args.recall))


def _build_of_archive(args: argparse.Namespace, options: dict) -> None:
    from mmdynamicvis.embedding import archive_index

    given = dict(options, model=args.model, checkpoint=args.checkpoint)
    if wrong := [f'--{name}' for name, value in given.items() if value is not None]:
        raise ValueError(
            f'{", ".join(wrong)}: the vectors of {args.folder} are made already, leave this out'
        )
    if args.index.suffix != '.parquet':
        raise ValueError(f'{args.index}: the index of an archive must end with .parquet')
    found = archive_index.find_partitions(args.folder)
    names = [path.name for path in found.paths]
    settings = {**found.settings, archive_index.PARTITIONS: names}
    args.index.parent.mkdir(parents=True, exist_ok=True)
    fast_index(args.index).unlink(missing_ok=True)  # it would be of other images
    tables = archive_index.rows_of(found.paths)
    count = archive_index.write_index(args.index, tables, settings)
    print(f'{args.index}: {count} images of {len(names)} partitions')
    if args.approximate:

        def parts() -> Iterator[tuple[Tensor, Tensor]]:
            for names, vectors in archive_index.read_parts(args.index):
                yield vectors, numbers_of(names)

        save_fast(args.index, ApproximateIndex.from_parts(parts, count, args.recall))


def save_fast(path: Path, fast: ApproximateIndex) -> None:
    """Write the approximate index of an index file, and tell its recall."""
    fast.save(fast_index(path))
    read, lists = fast.lists
    print(
        f'{fast_index(path)}: {fast.recall:.1%} of the 10 nearest images are found '
        f'(of a sample of images, by exact search), in {read} of {lists} clusters'
    )


def add(args: argparse.Namespace) -> None:
    if not args.index.is_file():
        raise FileNotFoundError(f'{args.index} does not exist')
    of_archive = archive_settings(args.index)
    if is_archive(args.folder) != bool(of_archive):
        kind = 'the vectors of an archive' if of_archive else 'a folder of images'
        raise ValueError(f'{args.index} is of {kind}, and {args.folder} is not: build an own index')
    with only_writer(args.index):
        (_add_of_archive if of_archive else _add)(args)


def _add_of_archive(args: argparse.Namespace) -> None:
    from mmdynamicvis.embedding import archive_index

    settings = archive_settings(args.index)
    known = settings[archive_index.PARTITIONS]
    found = archive_index.find_partitions(args.folder, without=known)
    other = {name: value for name, value in settings.items() if name != archive_index.PARTITIONS}
    if found.settings != other:
        raise ValueError(f'{args.index} is of other settings than {args.folder}: build it again')
    if found.rows:
        names = [*known, *(path.name for path in found.paths)]
        settings = {**settings, archive_index.PARTITIONS: names}
        _rewrite(args.index, [], found.paths, settings)
    print(f'{args.index}: {found.rows} images of {len(found.paths)} partitions added')


def _rewrite(path: Path, gone: Collection[str], new: Sequence[Path], settings: dict) -> None:
    """Replace the index of an archive by one without some images, and with new partitions."""
    from mmdynamicvis.embedding import archive_index

    fast = load_fast(path) if fast_index(path).exists() else None
    if fast is not None:  # before anything is replaced
        fast.remove(numbers_of(list(gone)))
        for table in archive_index.rows_of(new):
            numbers = numbers_of(table['name'].to_pylist())
            fast.add(archive_index.vectors_of(table), numbers)
    tables = chain(archive_index.kept_rows(path, gone), archive_index.rows_of(new))
    # should this end in between, the search is exact, not wrong
    fast_index(path).unlink(missing_ok=True)
    archive_index.write_index(path, tables, settings)
    if fast is not None and len(fast):
        fast.save(fast_index(path))


def _add(args: argparse.Namespace) -> None:
    old = Embeddings.load(args.index)
    # an index without stamps is of other code: whether files have changed cannot be told
    old_stamps = old.settings.get('stamps', [None] * len(old.names))
    known = dict(zip(old.names, old_stamps, strict=True))
    paths = [path.resolve() for path in find_images(args.folder)]
    paths = [p for p in paths if p.as_posix() not in known or known[p.as_posix()] != stamp_of(p)]
    new = embed_images(paths, old.settings, args.device)
    # also drop old vectors of changed images that have become unsuitable
    renewed = known.keys() & {path.as_posix() for path in paths}
    kept = [i for i, name in enumerate(old.names) if name not in renewed]
    names = [old.names[i] for i in kept] + new.names
    stamps = [old_stamps[i] for i in kept] + new.settings['stamps']
    vectors = torch.cat([old.vectors[kept], new.vectors])
    joined = Embeddings(names, vectors, {**old.settings, 'stamps': stamps})
    update(args.index, joined, renewed, new)
    counts = f'{len(set(new.names) - known.keys())} images added, {len(names)} in all'
    renewed = f', {len(renewed)} of changed files' if renewed else ''
    print(f'{args.index}: {counts}{renewed}{left_out(len(paths) - len(new.names))}')


def remove(args: argparse.Namespace) -> None:
    if not args.index.is_file():
        raise FileNotFoundError(f'{args.index} does not exist')
    with only_writer(args.index):
        if archive_settings(args.index):
            _remove_of_archive(args)
            return
        old = Embeddings.load(args.index)
        # an image may be a link by now, or a name not of a file
        named = {name for path in args.images for name in (path, Path(path).resolve().as_posix())}
        known = {*old.names}
        if unknown := [
            path for path in args.images if not {path, Path(path).resolve().as_posix()} & known
        ]:
            raise ValueError(f'not in {args.index}: {shorten(unknown)}. Nothing is removed')
        kept = [i for i, name in enumerate(old.names) if name not in named]
        settings = dict(old.settings)
        if 'stamps' in settings:
            settings['stamps'] = [settings['stamps'][i] for i in kept]
        left = Embeddings([old.names[i] for i in kept], old.vectors[kept], settings)
        update(args.index, left, named & known, None)
        print(f'{args.index}: {len(old.names) - len(kept)} images removed, {len(kept)} in all')


def _remove_of_archive(args: argparse.Namespace) -> None:
    from mmdynamicvis.embedding import archive_index

    names = archive_index.names_of(args.index)
    by_source: dict[str, list[str]] = {}
    for name in names:
        for key in {name, name.rpartition('[')[0] if name.endswith(']') else name}:
            by_source.setdefault(key, []).append(name)
    spellings = {path: {path, Path(path).absolute().as_posix()} for path in args.images}
    if unknown := [path for path, keys in spellings.items() if not keys & by_source.keys()]:
        raise ValueError(f'not in {args.index}: {shorten(unknown)}. Nothing is removed')
    keys = set().union(*spellings.values())
    gone = {name for key in keys for name in by_source.get(key, [])}
    _rewrite(args.index, gone, [], archive_settings(args.index))
    print(f'{args.index}: {len(gone)} images removed, {len(names) - len(gone)} in all')


def is_archive(folder: Path) -> bool:
    """Whether a folder is of embed_archive.py."""
    return any(folder.glob('vectors/part-*.parquet'))


def archive_settings(path: Path) -> dict:
    """Return the settings of an index of the vectors of an archive; empty for others."""
    if path.suffix != '.parquet':
        return {}
    from mmdynamicvis.embedding.archive_index import settings_in

    return settings_in(path)


def fast_index(path: Path) -> Path:
    """Return the path of the approximate index of an index file."""
    return path.with_name(f'{path.name}.faiss')


def replace(path: Path, embeddings: Embeddings) -> None:
    """Write an index file without an approximate index, which would be of other images."""
    # first: should this end in between, the search is exact, not wrong
    fast_index(path).unlink(missing_ok=True)
    embeddings.save(path)


def update(path: Path, whole: Embeddings, gone: Collection[str], new: Embeddings | None) -> None:
    """Write an index file and update its approximate index, if it has one."""
    fast = load_fast(path) if fast_index(path).exists() else None
    replace(path, whole)
    if fast is not None and whole.names:
        fast.remove(numbers_of(list(gone)))
        if new is not None:
            fast.add(new.vectors, numbers_of(new.names))
        fast.save(fast_index(path))


def load_fast(path: Path, names: Sequence[str] | None = None) -> ApproximateIndex:
    """Read the approximate index of an index file; check that it is of images of these names."""
    fast = ApproximateIndex.load(fast_index(path))
    if names is not None and not torch.equal(fast.ids, numbers_of(names).sort().values):
        raise ValueError(
            f'{fast_index(path)} is of other images than {path}: build it again, or pass --exact'
        )
    return fast


def search_fast(
    path: Path, embeddings: Embeddings, queries: Tensor, k: int, among: Tensor | None = None
) -> tuple[list[list[float]], list[list[int]]]:
    """Return distances and rows of the nearest images by the approximate index.

    Args:
        path: The index file.
        embeddings: What it holds.
        queries: (Q, C) vectors.
        k: Number of results, at most that of the images searched.
        among: Rows of the images to search, (M,) int64; None searches all.
    """
    fast = load_fast(path, embeddings.names)
    all_numbers = numbers_of(embeddings.names)
    numbers, order = all_numbers.sort()
    searched = torch.arange(len(order)) if among is None else among
    chosen = None if among is None else all_numbers[among]
    found = fast.search(queries, candidates(k), chosen)
    distances, places = [], []
    for query, row in zip(queries, found, strict=True):
        rows = order[torch.searchsorted(numbers, row[row >= 0])]
        if len(rows) < k:  # the clusters that are searched hold fewer
            rows = searched
        nearest, best = rank(query, embeddings.vectors, rows, k)
        distances.append(nearest.tolist())
        places.append(best.tolist())
    return distances, places


def left_out(number: int) -> str:
    return f', {number} left out' if number else ''


def select(args: argparse.Namespace) -> Tensor | None:
    """Return the rows of the images of a place and time, (M,) int64; None without a filter."""
    area = None
    if args.bbox:
        area = filters.bbox_area(*args.bbox)
    elif args.area:
        area = filters.file_area(args.area)
    wanted = filters.Filter(area, args.first, args.last)
    if not wanted.columns:
        return None
    if not args.index.is_file():
        raise FileNotFoundError(f'{args.index} does not exist')
    rows, unknown = filters.select(args.index, wanted)
    without = f'; {unknown} without place or date are left out' if unknown else ''
    print(f'{len(rows)} images are of this place and time{without}')
    return rows


def find(args: argparse.Namespace) -> None:
    if args.picture:
        refuse_to_overwrite([args.picture])
    among = select(args)  # before the vectors are read
    embeddings = Embeddings.load(args.index)
    names, vectors, settings = embeddings
    if not names:
        raise ValueError(f'{args.index} is empty')
    embedder = make_embedder(settings, args.device)
    by_cosine = args.code == 'float' and args.distance == 'cosine'
    k = min(args.k, len(names) if among is None else len(among))
    few = among is not None and len(among) <= FEW
    if by_cosine and not (args.exact or few) and k > 0 and fast_index(args.index).exists():
        distances, places = search_fast(args.index, embeddings, embedder(args.queries), k, among)
    else:
        encode = CODES[args.code]
        index = VectorIndex(args.distance if args.code == 'float' else 'hamming')
        index.add(encode(vectors if among is None else vectors[among]))
        nearest, rows = index.search(encode(embedder(args.queries)), k)
        distances, places = nearest.tolist(), (rows if among is None else among[rows]).tolist()
    for query, row, row_distances in zip(args.queries, places, distances, strict=True):
        print(query)
        for place, distance in zip(row, row_distances, strict=True):
            print(f'{distance:10.4f}  {names[place]}')
    if args.picture:
        queries, *found = (
            [indexed_picture(path, **embedder.reading) for path in paths]
            for paths in (args.queries, *([names[place] for place in row] for row in places))
        )
        titles = [[f'{distance:.3f}' for distance in row] for row in distances]
        rows = show_search_results(queries, found, titles)
        write_picture(rows, args.picture)


def main() -> None:
    args = parse_args()
    dict(build=build, add=add, find=find, remove=remove)[args.command](args)


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
