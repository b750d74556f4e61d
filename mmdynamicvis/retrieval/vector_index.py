"""Exact nearest neighbors among vectors or binary codes, by faiss or by torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

Distance = Literal['cosine', 'euclidean', 'hamming']
Engine = Literal['auto', 'faiss', 'torch']
_MAX_DISTANCES = 2**24
"""Distances that are held at once, 128 MB with their keys."""


class VectorIndex:
    """Vectors that are searched exactly; ties go to the vector that was added first.

    Args:
        distance: 'cosine' (1 - cosine) or 'euclidean' for floating-point vectors, 'hamming' (bits
            that differ) for bool ones, whose number is a multiple of 8.
        engine: 'faiss', 'torch', or 'auto': faiss where it is installed.

    Raises:
        ImportError: faiss is asked for and not installed.
        ValueError: The distance or engine is unknown.
    """

    def __init__(self, distance: Distance = 'cosine', engine: Engine = 'auto') -> None:
        for name, value, known in (
            ('distance', distance, get_args(Distance)),
            ('engine', engine, get_args(Engine)),
        ):
            if value not in known:
                raise ValueError(f'{name} is {value!r}; choose one of {known}')
        installed = find_spec('faiss') is not None
        if engine == 'faiss' and not installed:
            raise ImportError("engine is 'faiss': pip install faiss-cpu, or take engine='torch'")
        self.distance = distance
        self.engine = ('faiss' if installed else 'torch') if engine == 'auto' else engine
        self._vectors: Tensor | None = None
        self._faiss: Any = None

    def __len__(self) -> int:
        """Return the number of vectors."""
        return 0 if self._vectors is None else len(self._vectors)

    def add(self, vectors_NC: Tensor) -> None:
        """Add vectors, (N, C) floating point, or bool for 'hamming'.

        Raises:
            ValueError: They are of another type or length than what is there, or not finite.
        """
        self._check(vectors_NC)
        prepared = self._prepare(vectors_NC)
        known = [] if self._vectors is None else [self._vectors]
        self._vectors = torch.cat([*known, prepared])
        if self.engine == 'faiss':
            self._faiss = self._faiss or _make_faiss(self.distance, vectors_NC.shape[1])
            self._faiss.add(prepared.numpy())

    def search(self, queries_QC: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Find the nearest vectors.

        Args:
            queries_QC: (Q, C), of the type of the vectors.
            k: How many, at most as many as there are.

        Returns:
            Distances (Q, k) float32, the nearest first, and places in the order of addition (Q, k)
            int64. Equal distances are in that order, too.

        Raises:
            ValueError: ``k`` is not within 1 and the number of vectors, or the queries do not fit.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f'k is {k}; the index has {len(self)} vectors')
        self._check(queries_QC)
        queries = self._prepare(queries_QC)
        return self._by_faiss(queries, k) if self.engine == 'faiss' else self._by_torch(queries, k)

    def _check(self, vectors_NC: Tensor) -> None:
        kind = 'bool' if self.distance == 'hamming' else 'floating point'
        fits = vectors_NC.dtype == torch.bool if kind == 'bool' else vectors_NC.is_floating_point()
        if vectors_NC.dim() != 2 or not fits:
            raise ValueError(
                f'vectors are {vectors_NC.dtype} of shape {tuple(vectors_NC.shape)}; '
                f'{self.distance} needs {kind} (N, C)'
            )
        length = vectors_NC.shape[1]
        if kind == 'bool' and length % 8:
            raise ValueError(f'codes have {length} bits; the number must be a multiple of 8')
        if kind != 'bool' and not vectors_NC.isfinite().all():
            raise ValueError('vectors hold NaN or infinite values')
        known = None if self._vectors is None else self._vectors.shape[1]
        if known is not None and known != (length // 8 if kind == 'bool' else length):
            raise ValueError(f'vectors have length {length}, not that of the index')

    def _prepare(self, vectors_NC: Tensor) -> Tensor:
        """Return what is compared: bytes of bits, vectors of length 1, or the vectors."""
        vectors_NC = vectors_NC.detach().cpu()
        if self.distance == 'hamming':
            return torch.from_numpy(np.packbits(vectors_NC.numpy(), axis=1))
        vectors_NC = vectors_NC.float().contiguous()
        return normalize(vectors_NC) if self.distance == 'cosine' else vectors_NC

    def _by_torch(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        distance = _DISTANCES[self.distance]
        places_N = torch.arange(len(self))
        found = []
        for chunk in queries.split(max(1, _MAX_DISTANCES // len(self))):
            distances_QN = distance(chunk, self._vectors)
            # one number per pair that orders by distance, then by place: the bits of floats that
            # are not negative grow as they do
            keys_QN = (distances_QN.view(torch.int32).long() << 32) + places_N
            nearest = (keys_QN.topk(k, largest=False).values & 0xFFFFFFFF).long()
            found.append((distances_QN.gather(1, nearest), nearest))
        distances, places = (torch.cat(part) for part in zip(*found, strict=True))
        return distances, places

    def _by_faiss(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        distances, places = self._faiss.search(queries.numpy(), k)
        if self.distance == 'hamming':
            distances, places = self._complete_ties(queries.numpy(), distances, places)
        elif self.distance == 'cosine':
            distances = np.maximum(1 - distances, 0)  # as the other engine: rounding can pass 1
        else:
            distances = np.sqrt(distances)
        order = np.lexsort((places, distances), axis=1)
        distances, places = (np.take_along_axis(x, order, 1) for x in (distances, places))
        return torch.from_numpy(distances.astype(np.float32)), torch.from_numpy(places)

    def _complete_ties(
        self, queries: np.ndarray, distances: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of codes as far away as the last one found, take the first ones."""
        k = distances.shape[1]
        for radius in np.unique(distances[:, -1]):
            rows = np.flatnonzero(distances[:, -1] == radius)
            limits, all_distances, all_places = self._faiss.range_search(
                queries[rows], int(radius) + 1
            )
            for i, row in enumerate(rows):
                part = slice(limits[i], limits[i + 1])
                order = np.lexsort((all_places[part], all_distances[part]))[:k]
                distances[row], places[row] = all_distances[part][order], all_places[part][order]
        return distances, places


def _make_faiss(distance: Distance, length: int) -> Any:
    import faiss

    makers = dict(
        cosine=faiss.IndexFlatIP, euclidean=faiss.IndexFlatL2, hamming=faiss.IndexBinaryFlat
    )
    return makers[distance](length)


def _cosine(queries_QC: Tensor, vectors_NC: Tensor) -> Tensor:
    # never negative, which rounding could make it
    return (1 - queries_QC @ vectors_NC.T).clamp_(min=0)


def _euclidean(queries_QC: Tensor, vectors_NC: Tensor) -> Tensor:
    return torch.cdist(queries_QC, vectors_NC)


def _hamming(queries_QB: Tensor, vectors_NB: Tensor) -> Tensor:
    # of +1 and -1, the products of bits that differ are -1
    queries, vectors = (_signs(codes) for codes in (queries_QB, vectors_NB))
    return (queries.shape[1] - queries @ vectors.T) / 2


def _signs(codes_NB: Tensor) -> Tensor:
    bits = np.unpackbits(codes_NB.numpy(), axis=1)
    return torch.from_numpy(bits).float().mul_(2).sub_(1)


_DISTANCES: dict[Distance, Callable[[Tensor, Tensor], Tensor]] = dict(
    cosine=_cosine, euclidean=_euclidean, hamming=_hamming
)
