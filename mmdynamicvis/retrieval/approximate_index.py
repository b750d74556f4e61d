"""Approximate nearest-neighbor search by faiss: an inverted file of vectors of 8 bits a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        faiss = check_approximate(recall)
        if not len(vectors_NC):
            raise ValueError('there is no vector to build an index of')
        count, length = vectors_NC.shape
        lists = max(1, min(round(4 * math.sqrt(count)), count // _PER_LIST))
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(count, generator=generator)
        self._index = faiss.index_factory(length, f'IVF{lists},SQ8', faiss.METRIC_INNER_PRODUCT)
        self._index.train(_unit(vectors_NC[order[: _TRAINED_ON * lists]]))
        self.add(vectors_NC, ids_N)
        self.recall = self._widen(vectors_NC, ids_N, order[:_QUERIES], recall)
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
        faiss = _import_faiss()
        files = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(files.get_ids(i), files.list_size(i)).copy()
            for i in range(self._index.nlist)
            if files.list_size(i)
        ]
        return torch.from_numpy(np.sort(np.concatenate([np.zeros(0, np.int64), *parts])))

    def add(self, vectors_NC: Tensor, ids_N: Tensor) -> None:
        """Add vectors (N, C) with their numbers (N,) int64 to the lists, which stay as trained.

        Raises:
            ValueError: A number is negative, given twice or known; there is not one per vector; or
                the vectors are not finite or have another length than those of the index.
        """
        if ids_N.shape != vectors_NC.shape[:1] or ids_N.dtype != torch.int64:
            raise ValueError(f'{len(vectors_NC)} vectors need as many int64, not {ids_N.shape}')
        all_ids = torch.cat([self.ids, ids_N])
        if len(ids_N) and (ids_N.min() < 0 or len(all_ids.unique()) < len(all_ids)):
            raise ValueError('numbers of vectors must be distinct, new and not negative')
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
                date; None searches all. The smaller their share, the more lists are searched.

        Returns:
            The numbers of the candidates, (Q, k) int64, nearest first; -1 where the lists
            searched hold fewer.
        """
        faiss = _import_faiss()
        options, lists = {}, self._index.nprobe
        if among_M is not None:
            options['sel'] = faiss.IDSelectorBatch(among_M.numpy())
            # the fewer they are, the more lists until as many are seen
            share = len(among_M) / max(1, len(self))
            lists = min(self._index.nlist, math.ceil(lists / max(share, 1e-9)))
        parameters = faiss.SearchParametersIVF(nprobe=lists, **options)
        return torch.from_numpy(self._index.search(_unit(queries_QC), k, params=parameters)[1])

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

    def _widen(self, vectors_NC: Tensor, ids_N: Tensor, queries: Tensor, recall: float) -> float:
        """Double the number of lists searched until the recall suffices; return the recall."""
        wanted = vectors_NC[queries]
        k = min(_NEIGHBORS + 1, len(vectors_NC))  # each finds itself, too
        places = exact(vectors_NC, wanted, k)
        truth = [set(row) for row in ids_N[places].tolist()]
        own = ids_N[queries].tolist()
        self._index.nprobe = 1
        sorted_N, order_N = ids_N.sort()
        while True:
            rows = self.search(wanted, candidates(k))
            hits = total = 0
            for query, row, true, itself in zip(wanted, rows, truth, own, strict=True):
                row = row[row >= 0]
                where = order_N[torch.searchsorted(sorted_N, row)]
                _, best = rank(query, vectors_NC, where, k)
                hits += len((set(ids_N[best].tolist()) & true) - {itself})
                total += len(true - {itself})
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
    """Return how many candidates to rank for k results: the vectors of 8 bits are not exact."""
    return 2 * k + 10


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
    best_QK, rows_QK = torch.zeros(len(queries_QC), 0), torch.zeros(len(queries_QC), 0).long()
    for first in range(0, len(vectors_NC), _PART):
        index = VectorIndex('cosine')
        index.add(vectors_NC[first : first + _PART])
        distances, rows = index.search(queries_QC, min(k, len(index)))
        best_QK, rows_QK = torch.cat([best_QK, distances], 1), torch.cat([rows_QK, rows + first], 1)
        order = best_QK.argsort(dim=1, stable=True)[:, :k]
        best_QK, rows_QK = best_QK.gather(1, order), rows_QK.gather(1, order)
    return rows_QK


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
    vectors_NC = torch.nn.functional.normalize(vectors_NC.detach().cpu().double(), dim=1)
    return np.ascontiguousarray(vectors_NC.float().numpy())


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ImportError('approximate search needs faiss: pip install faiss-cpu') from error
    return faiss
