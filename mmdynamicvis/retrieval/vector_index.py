"""Exact nearest-neighbor search in vectors or binary codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Distance = Literal['cosine', 'euclidean', 'hamming']
_QUERIES, _VECTORS = 256, 2**16
"""Number of queries and vectors compared at once: 64 MB of distances."""
_CODES = 4096
"""Number of codes unpacked at once, so that they stay in the CPU cache."""
_PAIRS = 2**22
"""Number of vector elements compared in float64 at once."""
_LARGEST = 1e17
"""Largest absolute value: sums of squares of larger values would overflow float32."""


class VectorIndex:
    """Exact search in a set of vectors; ties are in the order in which vectors were added.

    Matrix products in float32 find all candidates that, within the bound of the rounding error, may
    be among the nearest. Their distances are computed in float64, so the order does not depend on
    the rounding of matrix products.

    Args:
        distance: 'cosine' (1 - cosine; 1 for zero vectors) or 'euclidean' for floating-point
            vectors; 'hamming' (number of differing bits) for bool codes, whose length is a multiple
            of 8.
        engine: Has no effect; will be removed in release 0.3.

    Raises:
        ValueError: The distance is unknown.
    """

    def __init__(self, distance: Distance = 'cosine', engine: str | None = None) -> None:
        if engine is not None:
            warnings.warn(
                f'engine={engine!r} has no effect: there is one engine. The argument will be '
                'removed in release 0.3',
                DeprecationWarning,
                stacklevel=2,
            )
        if distance not in get_args(Distance):
            raise ValueError(f'distance is {distance!r}; choose one of {get_args(Distance)}')
        self.distance = distance
        self._parts: list[Tensor] = []

    def __len__(self) -> int:
        """Return the number of vectors."""
        return sum(map(len, self._parts))

    def add(self, vectors_NC: Tensor) -> None:
        """Add vectors.

        Args:
            vectors_NC: (N, C) floating point, or bool for 'hamming'.

        Raises:
            ValueError: The dtype is wrong, the length differs from that of earlier vectors, or
                values are not finite or too large.
        """
        self._parts.append(self._prepare(vectors_NC))

    def search(self, queries_QC: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Find the nearest vectors.

        Args:
            queries_QC: (Q, C), of the dtype of the vectors.
            k: Number of results per query, at most the number of vectors.

        Returns:
            Distances (Q, k) float32, nearest first, and indices of the vectors in the order of
            addition, (Q, k) int64. Ties are in that order, too.

        Raises:
            ValueError: ``k`` is not between 1 and the number of vectors, or the queries do not
                match the vectors.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f'k is {k}; the index has {len(self)} vectors')
        queries = self._prepare(queries_QC)
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        # the error bound does not hold for products under autocast
        with torch.autocast('cpu', enabled=False):
            found = [self._nearest(chunk, k) for chunk in queries.split(_QUERIES)]
        distances, places = (torch.cat(part) for part in zip(*found, strict=True))
        return distances.float(), places

    def _nearest(self, queries_QC: Tensor, k: int) -> tuple[Tensor, Tensor]:
        best = None
        for first, vectors in self._blocks():
            rows, places, distances = self._candidates(queries_QC, vectors, min(k, len(vectors)))
            block = rows, places + first, distances
            if best is not None:
                block = tuple(torch.cat(pair) for pair in zip(best, block, strict=True))
            best = _first(*block, k)
        _, places, distances = best
        return distances.view(len(queries_QC), k), places.view(len(queries_QC), k)

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Yield (index of the first vector, vectors) of blocks."""
        (vectors,) = self._parts
        for first in range(0, len(vectors), _VECTORS):
            yield first, vectors[first : first + _VECTORS]

    def _candidates(
        self, queries: Tensor, vectors: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return M pairs that include the k nearest vectors of each query, sorted by query.

        Returns:
            Indices of queries (M,), indices of vectors (M,), ascending for each query, and their
            distances (M,) float64.
        """
        if self.distance == 'hamming':
            coarse_QN, margin_Q1 = _hamming(queries, vectors), 0
        else:
            coarse_QN, margin_Q1 = _coarse(queries, vectors, self.distance)
        limit_Q1 = coarse_QN.topk(k, largest=False).values[:, -1:] + margin_Q1
        rows, places = (coarse_QN <= limit_Q1).nonzero(as_tuple=True)
        if self.distance == 'hamming':
            return rows, places, coarse_QN[rows, places].double()
        size = max(1, _PAIRS // max(1, vectors.shape[1]))
        parts = zip(rows.split(size), places.split(size), strict=True)
        exact = [_exact(queries[r], vectors[p], self.distance) for r, p in parts]
        return rows, places, torch.cat(exact)

    def _prepare(self, vectors_NC: Tensor) -> Tensor:
        """Return the vectors as they are stored: packed bits, unit vectors or copies."""
        vectors_NC = vectors_NC.detach().cpu()
        is_code = self.distance == 'hamming'
        kind = 'bool' if is_code else 'floating point'
        fits = vectors_NC.dtype == torch.bool if is_code else vectors_NC.is_floating_point()
        if vectors_NC.dim() != 2 or not fits:
            raise ValueError(
                f'vectors are {vectors_NC.dtype} of shape {tuple(vectors_NC.shape)}; '
                f'{self.distance} needs {kind} (N, C)'
            )
        length = vectors_NC.shape[1]
        if is_code and length % 8:
            raise ValueError(f'codes have {length} bits; the number must be a multiple of 8')
        known = self._parts[0].shape[1] if self._parts else None
        if known is not None and known != (length // 8 if is_code else length):
            raise ValueError(f'vectors have length {length}, not that of the index')
        if is_code:
            return torch.from_numpy(np.packbits(vectors_NC.numpy(), axis=1))
        vectors_NC = vectors_NC.float()
        if vectors_NC.numel() and not vectors_NC.abs().max() <= _LARGEST:
            raise ValueError(f'vectors hold NaN, infinite values or some above {_LARGEST:g}')
        return _unit(vectors_NC) if self.distance == 'cosine' else vectors_NC.clone()


def _unit(vectors_NC: Tensor) -> Tensor:
    """Return vectors normalized to length 1; zero vectors stay zero."""
    tiny = torch.finfo(vectors_NC.dtype).tiny
    # divide by the largest value first, so that squares do not underflow or overflow
    scaled_NC = vectors_NC / vectors_NC.abs().amax(1, keepdim=True).clamp(min=tiny)
    return scaled_NC.div_(scaled_NC.norm(dim=1, keepdim=True).clamp(min=tiny))


def _coarse(queries_QC: Tensor, vectors_NC: Tensor, distance: Distance) -> tuple[Tensor, Tensor]:
    """Return approximate sort keys, (Q, N) float32, and a bound of their error, (Q, 1).

    Up to rounding, the keys of a query are in the order of the distances. The key of a vector among
    the k nearest exceeds the k-th smallest key by at most the bound.
    """
    coarse_QN = queries_QC @ vectors_NC.T
    if distance == 'cosine':
        coarse_QN.neg_()
        largest = queries_Q1 = torch.ones(len(queries_QC), 1)
    else:  # half the squared distance, without the term that is constant for a query
        lengths_N = vectors_NC.norm(dim=1)
        torch.sub(lengths_N.square() / 2, coarse_QN, out=coarse_QN)
        largest, queries_Q1 = lengths_N.max(), queries_QC.norm(dim=1, keepdim=True)
    # a sum of n products, in any order, has an error of at most n roundings of |query| |vector|
    precise = torch.get_float32_matmul_precision() == 'highest'
    unit = 2.0**-24 if precise else 2.0**-8
    tiny = torch.finfo(torch.float32).tiny
    error_Q1 = (vectors_NC.shape[1] + 4) * (unit * largest * (queries_Q1 + largest) + tiny)
    return coarse_QN, 2 * error_Q1


def _exact(queries_MC: Tensor, vectors_MC: Tensor, distance: Distance) -> Tensor:
    """Return the distances of pairs, (M,) float64."""
    queries_MC, vectors_MC = queries_MC.double(), vectors_MC.double()
    if distance == 'euclidean':
        return (queries_MC - vectors_MC).square().sum(1).sqrt()
    squares_M = queries_MC.square().sum(1) * vectors_MC.square().sum(1)
    # the cosine with a zero vector is 0; rounding may raise a cosine above 1
    cosine_M = (queries_MC * vectors_MC).sum(1) / squares_M.sqrt().clamp(min=1e-30)
    return (1 - cosine_M).clamp(min=0)


def _hamming(queries_QB: Tensor, codes_NB: Tensor) -> Tensor:
    """Return the numbers of differing bits, (Q, N) float32."""
    queries_QC = _bits(queries_QB)
    # distance = sum of query bits + sum over set code bits of (+1 if the query bit is 0, else -1)
    weights_CQ = (1 - 2 * queries_QC).T
    parts = [(_bits(part) @ weights_CQ).T for part in codes_NB.split(_CODES)]
    return torch.cat(parts, 1).add_(queries_QC.sum(1, keepdim=True))


def _bits(codes_NB: Tensor) -> Tensor:
    return torch.from_numpy(np.unpackbits(codes_NB.numpy(), axis=1)).float()


def _first(
    rows: Tensor, places: Tensor, distances: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k pairs of each row with the smallest distances; the first pairs win ties.

    The result is sorted by row, and by distance within a row.
    """
    order = distances.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    sorted_rows = rows[order]
    rank = torch.arange(len(order)) - torch.searchsorted(sorted_rows, sorted_rows)
    order = order[rank < k]
    return rows[order], places[order], distances[order]
