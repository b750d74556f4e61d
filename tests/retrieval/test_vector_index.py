"""Exact search, against sorting all distances in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.retrieval import VectorIndex, vector_index


def by_sorting(queries: Tensor, vectors: Tensor, k: int, distance: str) -> tuple[Tensor, Tensor]:
    queries, vectors = queries.double(), vectors.double()
    if distance == 'hamming':
        distances = (queries[:, None] != vectors).sum(-1).double()
    elif distance == 'euclidean':
        distances = (queries[:, None] - vectors).square().sum(-1).sqrt()
    else:
        distances = 1 - torch.cosine_similarity(queries[:, None], vectors, dim=-1)
    distances, places = distances.sort(dim=1, stable=True)
    return distances[:, :k], places[:, :k]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    k=st.integers(1, 30),
    ones=st.floats(0.05, 0.95),
)
def test_codes_with_many_ties(seed, counts, k, ones) -> None:
    rng = np.random.default_rng(seed)

    def codes(count: int) -> Tensor:
        return torch.from_numpy(rng.random((count, 8)) < ones)

    parts, queries = [codes(count) for count in counts], codes(5)
    index = VectorIndex('hamming')
    for part in parts:
        index.add(part)
    assert len(index) == sum(counts)
    k = min(k, len(index))
    distances, places = index.search(queries, k)
    expected_distances, expected_places = by_sorting(queries, torch.cat(parts), k, 'hamming')
    assert torch.equal(places, expected_places)
    assert torch.equal(distances.double(), expected_distances)


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_vectors(distance: str) -> None:
    torch.manual_seed(0)
    queries, vectors = torch.randn(7, 24), torch.randn(300, 24)
    index = VectorIndex(distance)
    index.add(vectors)
    distances, places = index.search(queries, 20)
    expected_distances, expected_places = by_sorting(queries, vectors, 20, distance)
    assert torch.equal(places, expected_places)
    torch.testing.assert_close(distances.double(), expected_distances, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_equal_vectors_are_in_the_order_of_addition(distance: str) -> None:
    """Wherever they stand, which a matrix product's rounding depends on."""
    torch.manual_seed(0)
    base = torch.randn(10, 77)
    vectors = base.repeat(30, 1)
    index = VectorIndex(distance)
    for part in vectors.split(7):
        index.add(part)
    _, places = index.search(base[:4], 12)
    assert places.tolist() == [[i + 10 * n for n in range(12)] for i in range(4)]


def test_of_equal_distances_at_the_last_place_the_first_are_taken() -> None:
    tied, better = torch.eye(8)[1], torch.tensor([1, 0.5, 0, 0, 0, 0, 0, 0])
    index = VectorIndex('cosine')
    index.add(torch.cat([tied.repeat(6, 1), better.repeat(2, 1)]))
    assert index.search(torch.eye(8)[:1], 4)[1].tolist() == [[6, 7, 0, 1]]


@pytest.mark.parametrize('length', [1e-12, 1, 1000, 1e9])
@pytest.mark.parametrize('precision', ['highest', 'medium'])
def test_differences_far_smaller_than_the_vectors(length: float, precision: str) -> None:
    """Their matrix product rounds away what tells them apart."""
    torch.manual_seed(0)
    base = length * torch.nn.functional.normalize(torch.randn(384), dim=0)
    vectors = base + 1e-5 * length * torch.randn(500, 384)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast('cpu'):
            for distance in ('euclidean', 'cosine'):
                index = VectorIndex(distance)
                index.add(vectors)
                distances, places = index.search(vectors[:20], 5)
                expected, expected_places = by_sorting(vectors[:20], vectors, 5, 'euclidean')
                assert torch.equal(places[:, 0], torch.arange(20))
                assert distances[:, 0].max() < 1e-6 * length
                if distance == 'euclidean':
                    assert torch.equal(places, expected_places)
                    torch.testing.assert_close(distances, expected.float())
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize('scale', [1e-30, 1e16])
def test_cosines_do_not_depend_on_lengths(scale: float) -> None:
    torch.manual_seed(0)
    queries, vectors = torch.randn(7, 24), torch.randn(300, 24)
    vectors[5] = 0
    index = VectorIndex()
    index.add(vectors * scale)
    distances, places = index.search(queries, 300)
    expected, _ = by_sorting(queries, vectors, 300, 'cosine')
    torch.testing.assert_close(distances.double(), expected, rtol=1e-4, atol=1e-5)
    assert (distances[places == 5] == 1).all()


@pytest.mark.parametrize('distance', ['cosine', 'euclidean', 'hamming'])
def test_parts_are_searched_as_one(monkeypatch, distance: str) -> None:
    torch.manual_seed(0)
    queries, vectors = torch.randn(9, 16), torch.randn(50, 16).round(decimals=1)
    vectors[30:] = vectors[:20]
    if distance == 'hamming':
        queries, vectors = queries > 0, vectors > 0
    index = VectorIndex(distance)
    index.add(vectors)
    expected = index.search(queries, 20)
    assert torch.equal(expected[1], by_sorting(queries, vectors, 20, distance)[1])
    for name, size in dict(_QUERIES=4, _VECTORS=7, _CODES=3, _PAIRS=40).items():
        monkeypatch.setattr(vector_index, name, size)
    for found, wanted in zip(index.search(queries, 20), expected, strict=True):
        assert torch.equal(found, wanted)
    assert [tuple(part.shape) for part in index.search(queries[:0], 2)] == [(0, 2), (0, 2)]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="distance is 'manhattan'"):
        VectorIndex('manhattan')
    index = VectorIndex('hamming')
    with pytest.raises(ValueError, match='hamming needs bool'):
        index.add(torch.zeros(2, 8))
    with pytest.raises(ValueError, match='12 bits'):
        index.add(torch.zeros(2, 12, dtype=torch.bool))
    index.add(torch.zeros(2, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match='length 16, not that of the index'):
        index.add(torch.zeros(2, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match='k is 3; the index has 2 vectors'):
        index.search(torch.zeros(1, 8, dtype=torch.bool), 3)
    for value in (float('nan'), float('inf'), -1e18):
        with pytest.raises(ValueError, match='hold NaN, infinite values or some above 1e'):
            VectorIndex().add(torch.tensor([[1.0, value]]))


def test_rounding_makes_no_distance_negative() -> None:
    vectors = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    index = VectorIndex()
    index.add(vectors)
    distances, places = index.search(vectors, 1)
    assert places.flatten().tolist() == list(range(200))
    assert (distances >= 0).all() and distances.max() < 1e-6
