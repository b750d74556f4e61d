r"""Search folders of images for similar images.

    python tools/search_images.py build archive.safetensors IMAGES --model epoch_12.pth
    python tools/search_images.py add archive.safetensors MORE_IMAGES
    python tools/search_images.py find archive.safetensors query.jpg -k 10 --picture found.png
    python tools/search_images.py remove archive.safetensors IMAGES/old_1.jpg IMAGES/old_2.jpg

The index is one file (.safetensors, .npz or .parquet) with a vector and the path of each image. It
records the model that made it; the model's files must not be moved or changed. Images that are
damaged or unsuitable for the model are skipped with a warning. `add` also updates the vectors of
images whose size or time of modification has changed. Files are replaced atomically.

`build --approximate` also writes archive.safetensors.faiss, which `add` and `remove` keep up to
date. With it, `find` compares a query with the images of the nearest clusters alone, by cosine.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from mmdynamicvis.data.sensors import SENSORS, UNITS, number_or_name
from mmdynamicvis.embedding import Embeddings
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
    build.add_argument('--model', required=True, help='checkpoint or config')
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
    remove.add_argument('images', type=Path, nargs='+', help='files, which may be deleted')
    find.add_argument('queries', type=Path, nargs='+')
    find.add_argument('-k', type=int, default=10, help='number of results (default: %(default)s)')
    find.add_argument(
        '--code', choices=list(CODES), default='float', help='vectors or codes to compare'
    )
    find.add_argument(
        '--distance', choices=get_args(Distance)[:2], default='cosine', help='for float vectors'
    )
    find.add_argument('--exact', action='store_true', help='compare with all images in any case')
    find.add_argument('--picture', type=Path, help='picture of queries and results')
    return parser.parse_args()


def build(args: argparse.Namespace) -> None:
    outputs = [args.index, fast_index(args.index)]
    refuse_to_overwrite(outputs, [args.model, args.checkpoint], args.force)
    if args.approximate:
        check_approximate(args.recall)  # before the images are read
    given = ('size', 'bands', 'sensor', 'unit', 'mean', 'std')
    options = {name: getattr(args, name) for name in given}
    settings = settings_of(args.model, args.checkpoint, **options)
    paths = find_images(args.folder)
    made = embed_images(paths, settings, args.device)
    if not made.names:
        raise ValueError(f'none of the {len(paths)} images in {args.folder} fits: no index is made')
    replace(args.index, made)
    print(f'{args.index}: {len(made.names)} images{left_out(len(paths) - len(made.names))}')
    if args.approximate:
        fast = ApproximateIndex(made.vectors, numbers_of(made.names), args.recall)
        fast.save(fast_index(args.index))
        read, lists = fast.lists
        print(
            f'{fast_index(args.index)}: {fast.recall:.1%} of the 10 nearest images are found '
            f'(of a sample of images, by exact search), in {read} of {lists} clusters'
        )


def add(args: argparse.Namespace) -> None:
    if not args.index.is_file():
        raise FileNotFoundError(f'{args.index} does not exist')
    with only_writer(args.index):
        _add(args)


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
        old = Embeddings.load(args.index)
        # an image may be a link by now, or a name not of a file
        named = {name for path in args.images for name in (str(path), path.resolve().as_posix())}
        known = {*old.names}
        if unknown := [p for p in args.images if not {str(p), p.resolve().as_posix()} & known]:
            raise ValueError(f'not in {args.index}: {shorten(unknown)}. Nothing is removed')
        kept = [i for i, name in enumerate(old.names) if name not in named]
        settings = dict(old.settings)
        if 'stamps' in settings:
            settings['stamps'] = [settings['stamps'][i] for i in kept]
        left = Embeddings([old.names[i] for i in kept], old.vectors[kept], settings)
        update(args.index, left, named & known, None)
        print(f'{args.index}: {len(old.names) - len(kept)} images removed, {len(kept)} in all')


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
    path: Path, embeddings: Embeddings, queries: Tensor, k: int
) -> tuple[list[list[float]], list[list[int]]]:
    """Return distances and rows of the nearest images by the approximate index."""
    fast = load_fast(path, embeddings.names)
    numbers, order = numbers_of(embeddings.names).sort()
    distances, places = [], []
    for query, row in zip(queries, fast.search(queries, candidates(k)), strict=True):
        rows = order[torch.searchsorted(numbers, row[row >= 0])]
        if len(rows) < k:  # the clusters that are searched hold fewer
            rows = order
        nearest, best = rank(query, embeddings.vectors, rows, k)
        distances.append(nearest.tolist())
        places.append(best.tolist())
    return distances, places


def left_out(number: int) -> str:
    return f', {number} left out' if number else ''


def find(args: argparse.Namespace) -> None:
    if args.picture:
        refuse_to_overwrite([args.picture])
    embeddings = Embeddings.load(args.index)
    names, vectors, settings = embeddings
    if not names:
        raise ValueError(f'{args.index} is empty')
    embedder = make_embedder(settings, args.device)
    by_cosine = args.code == 'float' and args.distance == 'cosine'
    k = min(args.k, len(names))
    if by_cosine and not args.exact and k > 0 and fast_index(args.index).exists():
        distances, places = search_fast(args.index, embeddings, embedder(args.queries), k)
    else:
        encode = CODES[args.code]
        index = VectorIndex(args.distance if args.code == 'float' else 'hamming')
        index.add(encode(vectors))
        found = index.search(encode(embedder(args.queries)), k)
        distances, places = (part.tolist() for part in found)
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
