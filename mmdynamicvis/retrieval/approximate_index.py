"""Approximate nearest-neighbor search by faiss: an inverted file of vectors of 8 bits a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from mmdynamicvis.fileio import replacing
from mmdynamicvis.retrieval.vector_index import VectorIndex

_PER_LIST = 39
"""Vectors per list below which faiss warns that the lists cannot be trained well."""
_TRAINED_ON = 64
"""Vectors per list that the training sees."""
_QUERIES = 100
"""Vectors of the index by whose neighbors the recall is measured."""
_NEIGHBORS = 10
_AMONG = 4
"""How many times as many vectors are compared by a search among some as by a search of all."""
_NORMALIZED = 2**13
"""Number of vectors normalized at once."""
_PART = 2**16
"""Number of vectors added or compared at once."""


class ApproximateIndex:
    """Search of vectors by cosine in the lists of an inverted file that are nearest to the query.

    The vectors lie in about 4 sqrt(N) lists around centers of k-means, with 8 bits per number
    (faiss ``IVF,SQ8``): a quarter of their size in float32. Each has a number, by which it is found
    and removed. The candidates have approximate distances: rank them by the vectors themselves
    (:func:`rank`).

    Args:
        vectors_NC: (N, C) floating point, with N >= 1.
        ids_N: (N,) int64, the number of each vector; distinct and not negative.
        recall: The least share of the 10 nearest vectors that a search is to find, measured on
            vectors of the index. So many lists are searched.

    Raises:
        ImportError: faiss is not installed.
        ValueError: There is no vector; the numbers do not fit; vectors are not finite; or
            ``recall`` is not between 0 and 1.
    """

    def __init__(self, vectors_NC: Tensor, ids_N: Tensor, recall: float = 0.95) -> None:
        _check_ids(ids_N, len(vectors_NC))
        parts = list(zip(vectors_NC.split(_PART), ids_N.split(_PART), strict=True))
        self._build(lambda: iter(parts), len(vectors_NC), recall)

    @classmethod
    def from_parts(
        cls, parts: Callable[[], Iterator[tuple[Tensor, Tensor]]], count: int, recall: float = 0.95
    ) -> ApproximateIndex:
        """Build an index of vectors that are not all in memory.

        In memory are a part, the index, and the 256 sqrt(N) vectors by which lists are trained.

        Args:
            parts: Returns vectors and numbers part by part; it is called twice.
            count: Number of all vectors.
            recall: See the class.

        Raises:
            ImportError: See the class.
            ValueError: See the class; or the parts have another number of vectors.
        """
        index = cls.__new__(cls)
        index._build(parts, count, recall)
        return index

    def _build(
        self, parts: Callable[[], Iterator[tuple[Tensor, Tensor]]], count: int, recall: float
    ) -> None:
        faiss = check_approximate(recall)
        if not count:
            raise ValueError('there is no vector to build an index of')
        lists = max(1, min(round(4 * math.sqrt(count)), count // _PER_LIST))
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(count, generator=generator)
        sample_SC, own_S = _rows(parts(), order[: max(_TRAINED_ON * lists, _QUERIES)])
        length = sample_SC.shape[1]
        self._index = faiss.index_factory(length, f'IVF{lists},SQ8', faiss.METRIC_INNER_PRODUCT)
        wanted = sample_SC[:_QUERIES].clone()
        trained_on = _unit(sample_SC[: _TRAINED_ON * lists])
        del sample_SC
        self._index.train(trained_on)
        del trained_on
        k = min(_NEIGHBORS + 1, count)  # each finds itself, too
        best = _none(len(wanted))
        for vectors, ids in parts():
            self._append(vectors, ids)
            best = _nearer(best, vectors, ids, wanted, k)
        ids = self.ids
        if len(ids) != count or len(ids.unique()) < count or ids[0] < 0:
            raise ValueError(
                f'{count} vectors need as many numbers, distinct and not negative; there are '
                f'{len(ids)}, {len(ids.unique())} of them distinct'
            )
        self.recall = self._widen(wanted, own_S[:_QUERIES], best[1], recall)
        """The recall that was measured when the index was built; None for one that was loaded."""

    def __len__(self) -> int:
        """Return the number of vectors."""
        return self._index.ntotal

    @property
    def lists(self) -> tuple[int, int]:
        """Numbers of lists that a search reads, and of all lists."""
        return self._index.nprobe, self._index.nlist

    @property
    def ids(self) -> Tensor:
        """The numbers of the vectors, (N,) int64, ascending."""
        return torch.from_numpy(np.sort(np.concatenate(self._ids_of_lists())))

    def _ids_of_lists(self) -> list[np.ndarray]:
        faiss = _import_faiss()
        files = self._index.invlists
        return [
            faiss.rev_swig_ptr(files.get_ids(i), files.list_size(i)).copy()
            if files.list_size(i)
            else np.zeros(0, np.int64)
            for i in range(self._index.nlist)
        ]

    def add(self, vectors_NC: Tensor, ids_N: Tensor) -> None:
        """Add vectors (N, C) with their numbers (N,) int64 to the lists, which stay as trained.

        Raises:
            ValueError: A number is negative, given twice or known; there is not one per vector; or
                the vectors are not finite or have another length than those of the index.
        """
        _check_ids(ids_N, len(vectors_NC))
        all_ids = torch.cat([self.ids, ids_N])
        if len(ids_N) and (ids_N.min() < 0 or len(all_ids.unique()) < len(all_ids)):
            raise ValueError('numbers of vectors must be distinct, new and not negative')
        self._append(vectors_NC, ids_N)

    def _append(self, vectors_NC: Tensor, ids_N: Tensor) -> None:
        if vectors_NC.shape[1] != self._index.d:
            raise ValueError(f'vectors have length {vectors_NC.shape[1]}, not {self._index.d}')
        if not vectors_NC.isfinite().all():
            raise ValueError('vectors are NaN or infinite')
        for vectors, ids in zip(vectors_NC.split(_PART), ids_N.split(_PART), strict=True):
            self._index.add_with_ids(_unit(vectors), ids.numpy())

    def remove(self, ids_N: Tensor) -> int:
        """Remove the vectors of these numbers, (N,) int64; return how many there were."""
        return self._index.remove_ids(ids_N.numpy())

    def search(self, queries_QC: Tensor, k: int, among_M: Tensor | None = None) -> Tensor:
        """Return candidates for the nearest vectors.

        Args:
            queries_QC: (Q, C) floating point.
            k: Number of candidates per query.
            among_M: (M,) int64, the numbers of the vectors to search, e.g. of those of a place or a
                date; None searches all. So many lists are searched that four times as many of these
                vectors are compared as by a search of all, or all of them: their nearest may lie in
                more lists than those of all vectors.

        Returns:
            The numbers of the candidates, (Q, k) int64, nearest first; -1 where the lists
            searched hold fewer.
        """
        faiss = _import_faiss()
        wanted = _unit(queries_QC)
        if among_M is None:
            return torch.from_numpy(self._index.search(wanted, k)[1])
        selector = faiss.IDSelectorBatch(among_M.numpy())
        found = [np.zeros((0, k), np.int64)]
        for query, lists in zip(wanted, self._lists_among(wanted, among_M), strict=True):
            parameters = faiss.SearchParametersIVF(nprobe=int(lists), sel=selector)
            found.append(self._index.search(query[None], k, params=parameters)[1])
        return torch.from_numpy(np.concatenate(found))

    def _lists_among(self, queries_QC: np.ndarray, among_M: Tensor) -> np.ndarray:
        """Return the number of lists to search for each query, (Q,)."""
        lists = self._ids_of_lists()
        is_among = np.isin(np.concatenate(lists), among_M.numpy())
        ends = np.cumsum([0, *map(len, lists)])
        counts = np.diff(np.concatenate([[0], np.cumsum(is_among)])[ends])
        _, nearest_QL = self._index.quantizer.search(queries_QC, self._index.nlist)
        seen_QL = np.cumsum(counts[nearest_QL], axis=1)
        usual = len(self) * self._index.nprobe / self._index.nlist
        enough = min(_AMONG * usual, counts.sum())
        needed = (seen_QL < enough).sum(1) + 1
        return np.clip(needed, self._index.nprobe, self._index.nlist)

    def save(self, path: str | Path) -> None:
        """Write the index into a file of faiss, atomically; an existing file is replaced.

        Raises:
            OSError: The file cannot be written.
        """
        faiss, path = _import_faiss(), Path(path)
        with replacing(path) as temporary:
            content = faiss.serialize_index(self._index)
            temporary.write_bytes(content.data)

    @classmethod
    def load(cls, path: str | Path) -> ApproximateIndex:
        """Read a file written by :meth:`save`; nothing in it is executed.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is damaged, or is of another kind of index.
        """
        faiss, path = _import_faiss(), Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist')
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f'{path} is damaged or no index of faiss: build it again') from error
        if not isinstance(index, faiss.IndexIVFScalarQuantizer):
            raise ValueError(f'{path} is {type(index).__name__}, not IVF,SQ8: build it again')
        loaded = cls.__new__(cls)
        loaded._index, loaded.recall = index, None
        return loaded

    def _widen(self, wanted_QC: Tensor, own_Q: Tensor, nearest_QK: Tensor, recall: float) -> float:
        """Double the number of lists searched until the recall suffices; return the recall.

        A neighbor that is among the candidates is found, because they are ranked by the vectors
        themselves. That each query finds itself does not count.
        """
        self._index.nprobe = 1
        own = own_Q.tolist()
        truth = [{*row} - {i} for row, i in zip(nearest_QK.tolist(), own, strict=True)]
        while True:
            found = self.search(wanted_QC, candidates(nearest_QK.shape[1])).tolist()
            hits = sum(len(t & {*f}) for t, f in zip(truth, found, strict=True))
            total = sum(map(len, truth))
            share = hits / total if total else 1.0
            if share >= recall or self._index.nprobe >= self._index.nlist:
                return share
            self._index.nprobe = min(2 * self._index.nprobe, self._index.nlist)


def check_approximate(recall: float) -> ModuleType:
    """Return faiss; raise an error if it is missing or ``recall`` is not between 0 and 1."""
    if not 0 < recall <= 1:
        raise ValueError(f'recall is {recall}; give a share above 0, at most 1')
    return _import_faiss()


def candidates(k: int) -> int:
    """Return how many candidates to rank for k results: the vectors of 8 bits are not exact.

    Of a million similar vectors, 30 candidates hold 0.94 of the 10 nearest, 100 hold 0.98, and to
    rank 100 takes 0.7 ms (``docs/embeddings.md``).
    """
    return 4 * k + 60


def rank(query_C: Tensor, vectors_NC: Tensor, places_M: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the nearest k candidates by exact cosine distance.

    Args:
        query_C: (C,) floating point.
        vectors_NC: (N, C), of which only the candidates are read.
        places_M: (M,) int64, the rows of the candidates.
        k: Number of results; fewer if there are fewer candidates.

    Returns:
        Distances float32 and rows int64, nearest first, ties by row.
    """
    places_M = places_M.sort().values
    if not len(places_M):
        return torch.zeros(0), places_M
    index = VectorIndex('cosine')
    index.add(vectors_NC[places_M])
    distances, best = index.search(query_C[None], min(k, len(places_M)))
    return distances[0], places_M[best[0]]


def exact(vectors_NC: Tensor, queries_QC: Tensor, k: int) -> Tensor:
    """Return the rows of the k nearest vectors by exact search, (Q, k), in little memory."""
    best = _none(len(queries_QC))
    rows = torch.arange(len(vectors_NC))
    for part, numbers in zip(vectors_NC.split(_PART), rows.split(_PART), strict=True):
        best = _nearer(best, part, numbers, queries_QC, k)
    return best[1]


def _none(queries: int) -> tuple[Tensor, Tensor]:
    """Return distances and numbers of no vectors, (Q, 0)."""
    return torch.zeros(queries, 0), torch.zeros(queries, 0).long()


def _nearer(
    best: tuple[Tensor, Tensor], vectors_NC: Tensor, ids_N: Tensor, queries_QC: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Return distances and numbers of the k nearest of those known and of further vectors."""
    if not len(vectors_NC):
        return best
    index = VectorIndex('cosine')
    index.add(vectors_NC)
    distances, rows = index.search(queries_QC, min(k, len(index)))
    distances_QK, ids_QK = torch.cat([best[0], distances], 1), torch.cat([best[1], ids_N[rows]], 1)
    order = distances_QK.argsort(dim=1, stable=True)[:, :k]
    return distances_QK.gather(1, order), ids_QK.gather(1, order)


def _rows(parts: Iterator[tuple[Tensor, Tensor]], rows_M: Tensor) -> tuple[Tensor, Tensor]:
    """Return vectors (M, C) and numbers (M,) by their rows in all parts together."""
    found, numbers, first = torch.zeros(0, 0), torch.zeros(len(rows_M), dtype=torch.int64), 0
    for vectors, ids in parts:
        here = ((rows_M >= first) & (rows_M < first + len(vectors))).nonzero()[:, 0]
        if not first:
            found = torch.zeros(len(rows_M), vectors.shape[1])
        found[here] = vectors[rows_M[here] - first].float()
        numbers[here] = ids[rows_M[here] - first]
        first += len(vectors)
    if rows_M.max() >= first:
        raise ValueError(f'there are {first} vectors, fewer than were announced')
    return found, numbers


def _check_ids(ids_N: Tensor, count: int) -> None:
    if ids_N.shape != (count,) or ids_N.dtype != torch.int64:
        raise ValueError(f'{count} vectors need as many int64, not {ids_N.dtype} {ids_N.shape}')


def numbers_of(names: Sequence[str]) -> Tensor:
    """Return a number for each name, (N,) int64: 63 bits of its BLAKE2b digest.

    Raises:
        ValueError: Two names are equal, or have one number.
    """
    digests = (blake2b(name.encode(errors='surrogateescape'), digest_size=8) for name in names)
    numbers = [int.from_bytes(digest.digest(), 'big') >> 1 for digest in digests]
    if len(set(numbers)) < len(numbers):
        raise ValueError('two vectors have one name: give each its own')
    return torch.tensor(numbers, dtype=torch.int64)


def _unit(vectors_NC: Tensor) -> np.ndarray:
    unit = np.empty(tuple(vectors_NC.shape), np.float32)
    # part by part, because float64 takes twice the memory of the vectors
    for first in range(0, len(unit), _NORMALIZED):
        part_NC = vectors_NC[first : first + _NORMALIZED].detach().cpu().double()
        unit[first : first + _NORMALIZED] = torch.nn.functional.normalize(part_NC, dim=1)
    return unit


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ImportError('approximate search needs faiss: pip install faiss-cpu') from error
    return faiss
