"""Exact search, against sorting all distances in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.retrieval import VectorIndex, vector_index

ENGINES = ('torch', 'faiss')


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


def skip_without_faiss(engine: str) -> None:
    if engine == 'faiss':
        pytest.importorskip('faiss')


@pytest.mark.parametrize('engine', ENGINES)
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    k=st.integers(1, 30),
    ones=st.floats(0.05, 0.95),
)
def test_codes_with_many_ties(engine, seed, counts, k, ones) -> None:
    skip_without_faiss(engine)
    rng = np.random.default_rng(seed)

    def codes(count: int) -> Tensor:
        return torch.from_numpy(rng.random((count, 8)) < ones)

    parts, queries = [codes(count) for count in counts], codes(5)
    index = VectorIndex('hamming', engine)
    for part in parts:
        index.add(part)
    assert len(index) == sum(counts)
    k = min(k, len(index))
    distances, places = index.search(queries, k)
    expected_distances, expected_places = by_sorting(queries, torch.cat(parts), k, 'hamming')
    assert torch.equal(places, expected_places)
    assert torch.equal(distances.double(), expected_distances)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_vectors(engine: str, distance: str) -> None:
    skip_without_faiss(engine)
    torch.manual_seed(0)
    queries, vectors = torch.randn(7, 24), torch.randn(300, 24)
    index = VectorIndex(distance, engine)
    index.add(vectors)
    distances, places = index.search(queries, 20)
    expected_distances, expected_places = by_sorting(queries, vectors, 20, distance)
    assert torch.equal(places, expected_places)
    torch.testing.assert_close(distances.double(), expected_distances, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_equal_vectors_are_in_the_order_of_addition(engine: str, distance: str) -> None:
    skip_without_faiss(engine)
    torch.manual_seed(0)
    base = torch.randint(-3, 4, (10, 8)).float()
    vectors = base.repeat(30, 1)
    index = VectorIndex(distance, engine)
    index.add(vectors)
    _, places = index.search(base[:4], 12)
    assert places.tolist() == [[i + 10 * n for n in range(12)] for i in range(4)]


def test_torch_searches_in_parts(monkeypatch) -> None:
    torch.manual_seed(0)
    queries, vectors = torch.randn(9, 8), torch.randn(50, 8)
    index = VectorIndex('euclidean', 'torch')
    index.add(vectors)
    distances, places = index.search(queries, 5)
    monkeypatch.setattr(vector_index, '_MAX_DISTANCES', 100)
    distances_of_parts, places_of_parts = index.search(queries, 5)
    assert torch.equal(places_of_parts, places)
    torch.testing.assert_close(distances_of_parts, distances)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="distance is 'manhattan'"):
        VectorIndex('manhattan')
    with pytest.raises(ValueError, match="engine is 'annoy'"):
        VectorIndex(engine='annoy')
    index = VectorIndex('hamming', 'torch')
    with pytest.raises(ValueError, match='hamming needs bool'):
        index.add(torch.zeros(2, 8))
    with pytest.raises(ValueError, match='12 bits'):
        index.add(torch.zeros(2, 12, dtype=torch.bool))
    index.add(torch.zeros(2, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match='length 16, not that of the index'):
        index.add(torch.zeros(2, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match='k is 3; the index has 2 vectors'):
        index.search(torch.zeros(1, 8, dtype=torch.bool), 3)
    with pytest.raises(ValueError, match='NaN'):
        VectorIndex().add(torch.tensor([[1.0, float('nan')]]))


@pytest.mark.parametrize('engine', ENGINES)
def test_rounding_makes_no_distance_negative(engine: str) -> None:
    skip_without_faiss(engine)
    vectors = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    index = VectorIndex(engine=engine)
    index.add(vectors)
    distances, places = index.search(vectors, 1)
    assert places.flatten().tolist() == list(range(200))
    assert (distances >= 0).all() and distances.max() < 1e-6
