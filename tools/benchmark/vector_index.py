"""Search among 100,000 made vectors: time to build and to query, against the brute-force floor.

    python tools/benchmark/vector_index.py --out benchmarks/results/vector_index_cpu.json

The floor is what an exact search cannot leave out: for float vectors all products of queries and
vectors, as one matrix product of torch; for codes, to read all of them once per query, as a sum of
their words. Both find nothing. Search and floor are timed in turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import medians, seconds
from record import Record
from torch import Tensor

from mmdynamicvis.retrieval import CODES, VectorIndex

CENTERS = 1000
"""Of the clusters that the vectors lie in."""


def make_vectors(number: int, length: int, generator: torch.Generator) -> Tensor:
    """Return vectors in clusters, as those of images are."""
    centers = torch.randn(CENTERS, length, generator=generator)
    chosen = torch.randint(CENTERS, (number,), generator=generator)
    return centers[chosen] + torch.randn(number, length, generator=generator)


def product_floor(queries_QC: Tensor, vectors_NC: Tensor) -> None:
    """Multiply all queries with all vectors."""
    torch.mm(queries_QC, vectors_NC.T)


def reading_floor(queries_QW: Tensor, words_NW: Tensor) -> None:
    """Read all codes once per query."""
    for _ in queries_QW:
        words_NW.sum()


def as_words(codes_NC: Tensor) -> Tensor:
    """Return bits (N, C) in words of 64, (N, C / 64)."""
    return torch.from_numpy(np.packbits(codes_NC.numpy(), axis=1).view(np.int64))


def measure(code: str, vectors_NC: Tensor, queries_QC: Tensor, args: argparse.Namespace) -> dict:
    """Return seconds of building, of searching and of the floor."""
    encoded, wanted = (CODES[code](x) for x in (vectors_NC, queries_QC))
    distance = 'cosine' if code == 'float' else 'hamming'
    index = VectorIndex(distance)
    build = seconds(lambda: index.add(encoded))
    runs = dict(search=lambda: index.search(wanted, args.k))
    if code == 'float':
        runs['floor'] = lambda: product_floor(wanted, encoded)
    else:
        words, wanted_words = as_words(encoded), as_words(wanted)
        runs['floor'] = lambda: reading_floor(wanted_words, words)
    times = medians(runs, args.repeats)
    bits = 32 if code == 'float' else 1
    return dict(
        code=code,
        vectors=len(encoded),
        length=encoded.shape[1],
        queries=len(wanted),
        k=args.k,
        megabytes=encoded.numel() * bits / 8e6,
        build_s=build,
        search_s=times['search'],
        floor_s=times['floor'],
        over_the_floor=times['search'] / times['floor'],
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--vectors', type=int, default=100_000, help='default: 100000')
    parser.add_argument('--length', type=int, default=768, help='that of base (default: 768)')
    parser.add_argument('--queries', type=int, default=100, help='at once (default: 100)')
    parser.add_argument('-k', type=int, default=20, help='nearest ones (default: 20)')
    parser.add_argument('--repeats', type=int, default=7, help='samples per median (default: 7)')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU (default: 1)')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the figures')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    vectors_NC = make_vectors(args.vectors + args.queries, args.length, generator)
    record = Record(args.out, 'cpu')
    for code in CODES:
        row = measure(code, vectors_NC[args.queries :], vectors_NC[: args.queries], args)
        record.add(**row)
        search, floor = (1e3 * row[name] / args.queries for name in ('search_s', 'floor_s'))
        print(
            f'{code}: {search:.2f} ms a query, floor {floor:.2f}; built in {row["build_s"]:.2g} s'
        )


if __name__ == '__main__':
    main()
