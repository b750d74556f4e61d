"""Time building and searching an index of 100,000 random vectors, relative to a lower bound.

    python tools/benchmark/vector_index.py --out benchmarks/results/vector_index_cpu.json

The floor is the work that an exact search cannot avoid: for float vectors, all products of queries
and vectors as one matrix product; for codes, reading all of them once per query, as a sum of their
words. Neither performs the search itself. Search and floor are timed in alternation.
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
"""Number of clusters of the vectors."""


def make_vectors(number: int, length: int, generator: torch.Generator) -> Tensor:
    """Return clustered random vectors (number, length), similar to those of images."""
    centers = torch.randn(CENTERS, length, generator=generator)
    chosen = torch.randint(CENTERS, (number,), generator=generator)
    return centers[chosen] + torch.randn(number, length, generator=generator)


def product_floor(queries_QC: Tensor, vectors_NC: Tensor) -> None:
    """Multiply all queries by all vectors."""
    torch.mm(queries_QC, vectors_NC.T)


def reading_floor(queries_QW: Tensor, words_NW: Tensor) -> None:
    """Read all codes once per query."""
    for _ in queries_QW:
        words_NW.sum()


def as_words(codes_NC: Tensor) -> Tensor:
    """Pack bits (N, C) into 64-bit words (N, C / 64)."""
    return torch.from_numpy(np.packbits(codes_NC.numpy(), axis=1).view(np.int64))


def measure(code: str, vectors_NC: Tensor, queries_QC: Tensor, args: argparse.Namespace) -> dict:
    """Return a row with the seconds of building, of searching and of the floor."""
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
    parser.add_argument('--length', type=int, default=768, help='default: 768, that of base')
    parser.add_argument('--queries', type=int, default=100, help='per search (default: 100)')
    parser.add_argument('-k', type=int, default=20, help='results per query (default: 20)')
    parser.add_argument('--repeats', type=int, default=7, help='samples per median (default: 7)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
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
