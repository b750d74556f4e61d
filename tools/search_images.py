r"""Searches folders of images for those that look alike.

    python tools/search_images.py build archive.safetensors IMAGES --model epoch_12.pth
    python tools/search_images.py add archive.safetensors MORE_IMAGES
    python tools/search_images.py find archive.safetensors query.jpg -k 10 --picture found.png

The index is one file (.safetensors, .npz or .parquet) of a vector per image and its path. It
remembers the model that made it, which must still be where it was. Images that are damaged are said
and left out. A file is replaced when its successor is complete.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import torch

from mmdynamicvis.embedding import Embeddings
from mmdynamicvis.embedding.image_index import embed_images, make_embedder, settings_of
from mmdynamicvis.embedding.images import find_images, read_image
from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.retrieval import CODES, VectorIndex
from mmdynamicvis.retrieval.vector_index import Distance
from mmdynamicvis.visualization import as_picture, show_search_results, write_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    build = commands.add_parser('build', help='make an index of a folder')
    add = commands.add_parser('add', help='add the images of a folder that are not in the index')
    find = commands.add_parser('find', help='find the images nearest to others')
    for command in (build, add, find):
        command.add_argument('index', type=Path, help='.safetensors, .npz or .parquet')
        command.add_argument('--device')
    for command in (build, add):
        command.add_argument('folder', type=Path)
    build.add_argument('--model', required=True, help='checkpoint or config')
    build.add_argument('--checkpoint', help='weights for a config')
    build.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='resize images')
    build.add_argument('--bands', type=int, nargs='+', help='bands of rasters, from 1')
    build.add_argument('--mean', type=float, nargs='+', help='of each band')
    build.add_argument('--std', type=float, nargs='+', help='of each band')
    build.add_argument('--force', action='store_true', help='overwrite the index')
    find.add_argument('queries', type=Path, nargs='+')
    find.add_argument('-k', type=int, default=10, help='how many (default: %(default)s)')
    find.add_argument('--code', choices=list(CODES), default='float', help='what is compared')
    find.add_argument(
        '--distance', choices=get_args(Distance)[:2], default='cosine', help='of float vectors'
    )
    find.add_argument('--picture', type=Path, help='picture of queries and results')
    return parser.parse_args()


def build(args: argparse.Namespace) -> None:
    refuse_to_overwrite([args.index], [args.model, args.checkpoint], args.force)
    options = dict(size=args.size, bands=args.bands, mean=args.mean, std=args.std)
    settings = settings_of(args.model, args.checkpoint, **options)
    made = embed_images(find_images(args.folder), settings, args.device)
    made.save(args.index)
    print(f'{args.index}: {len(made.names)} images')


def add(args: argparse.Namespace) -> None:
    old = Embeddings.load(args.index)
    known = set(old.names)
    paths = [path.resolve() for path in find_images(args.folder)]
    paths = [path for path in paths if path.as_posix() not in known]
    new = embed_images(paths, old.settings, args.device)
    vectors = torch.cat([old.vectors, new.vectors])
    joined = Embeddings([*old.names, *new.names], vectors, old.settings)
    joined.save(args.index)
    print(f'{args.index}: {len(new.names)} images added, {len(joined.names)} in all')


def find(args: argparse.Namespace) -> None:
    if args.picture:
        refuse_to_overwrite([args.picture])
    names, vectors, settings = Embeddings.load(args.index)
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

        def picture(path: str | Path) -> Any:
            return as_picture(read_image(path, embedder.bands).numpy())

        found = [[picture(names[place]) for place in row] for row in places.tolist()]
        titles = [[f'{distance:.3f}' for distance in row] for row in distances.tolist()]
        rows = show_search_results([picture(query) for query in args.queries], found, titles)
        write_picture(rows, args.picture)


def main() -> None:
    args = parse_args()
    dict(build=build, add=add, find=find)[args.command](args)


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
