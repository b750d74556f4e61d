r"""Time building and searching an index of 100,000 random vectors, relative to a lower bound.

    python tools/benchmark/vector_index.py --out benchmarks/results/vector_index_cpu.json

The floor is the work that an exact search cannot avoid: for float vectors, all products of queries
and vectors as one matrix product; for codes, reading all of them once per query, as a sum of their
words. Neither performs the search itself. Search and floor are timed in alternation.

    python tools/benchmark/vector_index.py --approximate 10000 100000 \
        --out benchmarks/results/approximate_index_cpu.json

measures approximate search instead, on mixtures of features: those of the shipped EuroSAT weights
on tiles of synthetic scenes. A vector is a random weighted mean of a feature and the nearest nine
others, plus noise of a tenth of the mean distance of nearest features. Uniform random vectors would
have no clusters, and no neighbors worth finding. Kinds of index of faiss, and that of LanceDB if it
is installed, are compared at the least number of lists, or the least beam, with a recall of the 10
nearest of 0.95, after exact ranking of 100 candidates. Seconds are of the process, not of the
clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import medians, seconds
from record import Record
from torch import Tensor

from mmdynamicvis.embedding import Embedder
from mmdynamicvis.retrieval import CODES, VectorIndex
from mmdynamicvis.retrieval.approximate_index import candidates, exact, rank

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tools, for the package beside this one
from synthetic import CATEGORIES, make_scene

CENTERS = 1000
"""Number of clusters of the vectors."""
WEIGHTS = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
NEAR = 10
KINDS = ('IVF{},SQ8', 'IVF{},Flat', 'HNSW32')
"""Kinds of index, as faiss's factory calls them; {} is 4 sqrt(N)."""
LANCE = 'LanceDB, IVF_PQ'
Search = Callable[[np.ndarray, int], np.ndarray]
"""Function from queries (Q, C) and a breadth to the numbers of 100 candidates each (Q, 100)."""


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


def features() -> np.ndarray:
    """Return unit features (N, 384) of 64-pixel tiles of one synthetic scene per category."""
    embedder = Embedder(WEIGHTS, device='cpu', batch_size=64)
    scenes = [make_scene(category, 0, size=512).image for category in CATEGORIES]
    starts = range(0, 512, 64)
    tiles = [s[y : y + 64, x : x + 64] for s in scenes for y in starts for x in starts]
    return normalize(embedder(tiles).numpy())


def normalize(vectors_NC: np.ndarray) -> np.ndarray:
    """Return vectors of length 1."""
    return vectors_NC / np.linalg.norm(vectors_NC, axis=1, keepdims=True)


def mixtures(base_NC: np.ndarray, number: int) -> np.ndarray:
    """Return made vectors (number, C) float32 of length 1, as the module describes."""
    rng = np.random.default_rng(0)
    near_NK = np.argsort(-base_NC @ base_NC.T, axis=1)[:, :NEAR]
    noise = 0.1 * np.linalg.norm(base_NC[near_NK[:, 1]] - base_NC, axis=1).mean()
    made = np.empty((number, base_NC.shape[1]), np.float32)
    for part in np.split(made, range(20_000, number, 20_000)):
        chosen = near_NK[rng.integers(len(base_NC), size=len(part))]
        weights = rng.dirichlet(np.full(NEAR, 0.5), len(part)).astype(np.float32)
        part[:] = np.einsum('mk,mkc->mc', weights, base_NC[chosen])
        part += rng.standard_normal(part.shape, np.float32) * (noise / part.shape[1] ** 0.5)
    return normalize(made)


def process_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of a call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def measure_exact(vectors_NC: np.ndarray, queries_QC: np.ndarray) -> dict:
    """Return a row on exact search."""
    vectors, queries = torch.from_numpy(vectors_NC), torch.from_numpy(queries_QC)
    index = VectorIndex('cosine')
    build, _ = process_seconds(lambda: index.add(vectors))
    together, _ = process_seconds(lambda: index.search(queries, 10))
    single, _ = process_seconds(lambda: [index.search(q[None], 10) for q in queries[:20]])
    return dict(
        build_s=build,
        megabytes=vectors_NC.nbytes / 1e6,
        query_ms=1e3 * single / 20,
        batch_ms=1e3 * together / len(queries),
    )


def build_faiss(kind: str, vectors_NC: np.ndarray, lists: int) -> tuple[Search, float]:
    """Return the search of an index of faiss, and its megabytes."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    fast = faiss.index_factory(vectors_NC.shape[1], kind.format(lists), faiss.METRIC_INNER_PRODUCT)
    order = np.random.default_rng(0).permutation(len(vectors_NC))
    fast.train(vectors_NC[order[: 64 * lists]])
    fast.add(vectors_NC)

    def search(queries_QC: np.ndarray, breadth: int) -> np.ndarray:
        name = 'nprobe' if 'IVF' in kind else 'efSearch'
        faiss.ParameterSpace().set_index_parameter(fast, name, breadth)
        return fast.search(queries_QC, candidates(10))[1]

    return search, faiss.serialize_index(fast).nbytes / 1e6


def build_lance(folder: str, vectors_NC: np.ndarray, lists: int) -> tuple[Search, float]:
    """Return the search of a table of LanceDB, and the megabytes of its files."""
    import lancedb
    import pyarrow

    column = pyarrow.FixedSizeListArray.from_arrays(
        pyarrow.array(vectors_NC.ravel()), vectors_NC.shape[1]
    )
    rows = pyarrow.table(dict(number=np.arange(len(vectors_NC)), vector=column))
    table = lancedb.connect(folder).create_table('vectors', rows)
    codes = vectors_NC.shape[1] // 4
    table.create_index(metric='cosine', num_partitions=lists, num_sub_vectors=codes)

    def search(queries_QC: np.ndarray, breadth: int) -> np.ndarray:
        wanted = candidates(10)
        found = [
            table.search(query).nprobes(breadth).limit(wanted).to_arrow()['number']
            for query in queries_QC
        ]
        return np.array([[*row.to_pylist(), *[-1] * wanted][:wanted] for row in found])

    files = (path for path in Path(folder).rglob('*') if path.is_file())
    return search, sum(path.stat().st_size for path in files) / 1e6


def measure_approximate(
    build: Callable[[int], tuple[Search, float]], vectors_NC: np.ndarray, queries_QC: np.ndarray
) -> dict:
    """Return a row on what ``build`` makes of so many lists."""
    vectors, queries = torch.from_numpy(vectors_NC), torch.from_numpy(queries_QC)
    truth = exact(vectors, queries, 10)
    lists = round(4 * len(vectors) ** 0.5)
    built, (search, megabytes) = process_seconds(lambda: build(lists))
    breadth = 1
    while True:
        spent, found = process_seconds(partial(search, queries_QC, breadth))
        ranking, best = process_seconds(
            lambda found=found: [
                rank(query, vectors, torch.from_numpy(row[row >= 0]), 10)[1]
                for query, row in zip(queries, found, strict=True)
            ]
        )
        pairs = zip(best, truth, strict=True)
        recall = sum(len({*a.tolist()} & {*b.tolist()}) for a, b in pairs) / truth.numel()
        if recall >= 0.95 or breadth >= lists:
            return dict(
                build_s=built,
                megabytes=megabytes,
                breadth=breadth,
                recall=recall,
                query_ms=1e3 * (spent + ranking) / len(queries),
            )
        breadth *= 2


def approximate(args: argparse.Namespace) -> None:
    record = Record(args.out, 'cpu')
    base_NC = features()
    record.note('features', len(base_NC))
    for number in args.approximate:
        made = mixtures(base_NC, number + args.queries)
        queries_QC, vectors_NC = made[: args.queries], made[args.queries :]
        for kind in ('exact', *KINDS, *([LANCE] if find_spec('lancedb') else [])):
            with TemporaryDirectory() as folder:
                if kind == 'exact':
                    measured = measure_exact(vectors_NC, queries_QC)
                elif kind == LANCE:
                    build = partial(build_lance, folder, vectors_NC)
                    measured = measure_approximate(build, vectors_NC, queries_QC)
                else:
                    build = partial(build_faiss, kind, vectors_NC)
                    measured = measure_approximate(build, vectors_NC, queries_QC)
            length = vectors_NC.shape[1]
            about = dict(kind=kind, vectors=number, length=length, queries=args.queries)
            row = record.add(**about, **measured)
            recall = f', recall {row["recall"]:.3f}' if 'recall' in row else ''
            print(
                f'{number} {kind}: built in {row["build_s"]:.3g} s, {row["megabytes"]:.0f} MB, '
                f'{row["query_ms"]:.3g} ms a query{recall}',
                flush=True,
            )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--vectors', type=int, default=100_000, help='default: 100000')
    parser.add_argument('--length', type=int, default=768, help='default: 768, that of base')
    parser.add_argument('--queries', type=int, default=100, help='per search (default: 100)')
    parser.add_argument('-k', type=int, default=20, help='results per query (default: 20)')
    parser.add_argument('--repeats', type=int, default=7, help='samples per median (default: 7)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument(
        '--approximate', type=int, nargs='+', metavar='N', help='compare approximate search of N'
    )
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    if args.approximate:
        approximate(args)
        return
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
