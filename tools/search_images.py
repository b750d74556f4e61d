r"""Search folders of images for similar images.

    python tools/search_images.py build archive.safetensors IMAGES --model epoch_12.pth
    python tools/search_images.py add archive.safetensors MORE_IMAGES
    python tools/search_images.py find archive.safetensors query.jpg -k 10 --picture found.png

The index is one file (.safetensors, .npz or .parquet) with a vector and the path of each image. It
records the model that made it; the model's files must not be moved or changed. Images that are
damaged or unsuitable for the model are skipped with a warning. `add` also updates the vectors of
images whose size or time of modification has changed. Files are replaced atomically.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import torch

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
from mmdynamicvis.fileio import only_writer, refuse_to_overwrite
from mmdynamicvis.retrieval import CODES, VectorIndex
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
    for command in (build, add, find):
        command.add_argument('index', type=Path, help='.safetensors, .npz or .parquet')
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
    find.add_argument('queries', type=Path, nargs='+')
    find.add_argument('-k', type=int, default=10, help='number of results (default: %(default)s)')
    find.add_argument(
        '--code', choices=list(CODES), default='float', help='vectors or codes to compare'
    )
    find.add_argument(
        '--distance', choices=get_args(Distance)[:2], default='cosine', help='for float vectors'
    )
    find.add_argument('--picture', type=Path, help='picture of queries and results')
    return parser.parse_args()


def build(args: argparse.Namespace) -> None:
    refuse_to_overwrite([args.index], [args.model, args.checkpoint], args.force)
    given = ('size', 'bands', 'sensor', 'unit', 'mean', 'std')
    options = {name: getattr(args, name) for name in given}
    settings = settings_of(args.model, args.checkpoint, **options)
    paths = find_images(args.folder)
    made = embed_images(paths, settings, args.device)
    if not made.names:
        raise ValueError(f'none of the {len(paths)} images in {args.folder} fits: no index is made')
    made.save(args.index)
    print(f'{args.index}: {len(made.names)} images{left_out(len(paths) - len(made.names))}')


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
    joined.save(args.index)
    counts = f'{len(set(new.names) - known.keys())} images added, {len(names)} in all'
    renewed = f', {len(renewed)} of changed files' if renewed else ''
    print(f'{args.index}: {counts}{renewed}{left_out(len(paths) - len(new.names))}')


def left_out(number: int) -> str:
    return f', {number} left out' if number else ''


def find(args: argparse.Namespace) -> None:
    if args.picture:
        refuse_to_overwrite([args.picture])
    names, vectors, settings = Embeddings.load(args.index)
    if not names:
        raise ValueError(f'{args.index} is empty')
    embedder = make_embedder(settings, args.device)
    encode = CODES[args.code]
    index = VectorIndex(args.distance if args.code == 'float' else 'hamming')
    index.add(encode(vectors))
    distances, places = index.search(encode(embedder(args.queries)), min(args.k, len(index)))
    for query, row, row_distances in zip(args.queries, places, distances, strict=True):
        print(query)
        for place, distance in zip(row.tolist(), row_distances.tolist(), strict=True):
            print(f'{distance:10.4f}  {names[place]}')
    if args.picture:
        queries, *found = (
            [indexed_picture(path, **embedder.reading) for path in paths]
            for paths in (args.queries, *([names[place] for place in row] for row in places))
        )
        titles = [[f'{distance:.3f}' for distance in row] for row in distances.tolist()]
        rows = show_search_results(queries, found, titles)
        write_picture(rows, args.picture)


def main() -> None:
    args = parse_args()
    dict(build=build, add=add, find=find)[args.command](args)


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
