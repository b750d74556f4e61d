"""Exact nearest neighbors among vectors or binary codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Distance = Literal['cosine', 'euclidean', 'hamming']
_QUERIES, _VECTORS = 256, 2**16
"""How many are compared at once: 64 MB of distances."""
_CODES = 4096
"""How many codes are unpacked at once: they stay in the cache."""
_PAIRS = 2**22
"""How many numbers of vectors are compared in float64 at once."""
_LARGEST = 1e17
"""Of values: the squares of larger ones, summed, would pass what float32 holds."""


class VectorIndex:
    """Vectors that are searched exactly; ties go to the vector that was added first.

    Matrix products in float32 find all vectors that may be among the nearest, within the bound of
    their rounding; distances of those are computed in float64, so that their order does not depend
    on how a matrix product rounds.

    Args:
        distance: 'cosine' (1 - cosine; 1 for vectors of zeros) or 'euclidean' for floating-point
            vectors, 'hamming' (bits that differ) for bool ones, whose number is a multiple of 8.
        engine: Has no effect, and goes with release 0.3.

    Raises:
        ValueError: The distance is unknown.
    """

    def __init__(self, distance: Distance = 'cosine', engine: str | None = None) -> None:
        if engine is not None:
            warnings.warn(
                f'engine={engine!r} has no effect: there is one engine. The argument goes with '
                'release 0.3',
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
        """Add vectors, (N, C) floating point, or bool for 'hamming'.

        Raises:
            ValueError: They are of another type or length than what is there, not finite, or too
                large to be squared.
        """
        self._parts.append(self._prepare(vectors_NC))

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
        queries = self._prepare(queries_QC)
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        # products in less than float32 would miss what their rounding is taken for
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
        """Yield blocks of the vectors, and the place of the first one of each."""
        (vectors,) = self._parts
        for first in range(0, len(vectors), _VECTORS):
            yield first, vectors[first : first + _VECTORS]

    def _candidates(
        self, queries: Tensor, vectors: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pairs (M,) among which the k nearest of each query are, by query, then place.

        Rows of the queries, places of the vectors, and the distances, float64.
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
        """Return what is compared: bytes of bits, vectors of length 1, or the vectors."""
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
    """Return vectors of length 1; those of zeros stay."""
    tiny = torch.finfo(vectors_NC.dtype).tiny
    # first by the largest number, lest squares vanish or overflow
    scaled_NC = vectors_NC / vectors_NC.abs().amax(1, keepdim=True).clamp(min=tiny)
    return scaled_NC.div_(scaled_NC.norm(dim=1, keepdim=True).clamp(min=tiny))


def _coarse(queries_QC: Tensor, vectors_NC: Tensor, distance: Distance) -> tuple[Tensor, Tensor]:
    """Return numbers (Q, N) that order the vectors of a query but for rounding.

    Also how much larger than that of the k-th nearest the number of a nearer one can be, (Q, 1).
    """
    coarse_QN = queries_QC @ vectors_NC.T
    if distance == 'cosine':
        coarse_QN.neg_()
        largest = queries_Q1 = torch.ones(len(queries_QC), 1)
    else:  # half of the squared distance, without what all vectors of a query share
        lengths_N = vectors_NC.norm(dim=1)
        torch.sub(lengths_N.square() / 2, coarse_QN, out=coarse_QN)
        largest, queries_Q1 = lengths_N.max(), queries_QC.norm(dim=1, keepdim=True)
    # a sum of n products is off by n roundings of the product of both lengths at most, in any order
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
    # of zeros, the cosine is 0; rounding may bring others above 1
    cosine_M = (queries_MC * vectors_MC).sum(1) / squares_M.sqrt().clamp(min=1e-30)
    return (1 - cosine_M).clamp(min=0)


def _hamming(queries_QB: Tensor, codes_NB: Tensor) -> Tensor:
    """Return how many bits differ, (Q, N) float32."""
    queries_QC = _bits(queries_QB)
    # a bit that is set differs from a query's 0, and makes up for what its 1 counts already
    weights_CQ = (1 - 2 * queries_QC).T
    parts = [(_bits(part) @ weights_CQ).T for part in codes_NB.split(_CODES)]
    return torch.cat(parts, 1).add_(queries_QC.sum(1, keepdim=True))


def _bits(codes_NB: Tensor) -> Tensor:
    return torch.from_numpy(np.unpackbits(codes_NB.numpy(), axis=1)).float()


def _first(
    rows: Tensor, places: Tensor, distances: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k pairs of each row with the least distance, of equal ones those that come first.

    The rows are ascending in what is returned, the distances within a row.
    """
    order = distances.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    sorted_rows = rows[order]
    rank = torch.arange(len(order)) - torch.searchsorted(sorted_rows, sorted_rows)
    order = order[rank < k]
    return rows[order], places[order], distances[order]
