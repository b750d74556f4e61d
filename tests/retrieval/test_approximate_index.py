"""Approximate search, compared with exact search."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdynamicvis.retrieval import ApproximateIndex
from mmdynamicvis.retrieval.approximate_index import candidates, exact, numbers_of, rank

faiss = pytest.importorskip('faiss', reason='needs faiss')


def clustered(count: int) -> Tensor:
    centers = torch.randn(20, 16)
    return centers[torch.randint(20, (count,))] + 0.3 * torch.randn(count, 16)


def shares(index: ApproximateIndex, vectors: Tensor, ids: Tensor, queries: Tensor) -> float:
    """Return the share of the 10 nearest among the candidates."""
    truth = ids[exact(vectors, queries, 10)].tolist()
    found = index.search(queries, candidates(10)).tolist()
    return sum(len(set(t) & set(f)) for t, f in zip(truth, found, strict=True)) / (10 * len(truth))


def test_recall_after_adding_removing_and_loading(tmp_path: Path) -> None:
    vectors, ids = clustered(3000), torch.randperm(10**6)[:3000]
    index = ApproximateIndex(vectors[:2000], ids[:2000], recall=0.95)
    assert index.recall >= 0.95
    assert index.lists[0] < index.lists[1]  # does not search all
    index.add(vectors[2000:], ids[2000:])
    assert torch.equal(index.ids, ids.sort().values)
    assert index.remove(ids[:500]) == 500
    assert index.remove(ids[:500]) == 0
    index.save(tmp_path / 'index.faiss')
    assert list(tmp_path.iterdir()) == [tmp_path / 'index.faiss']
    loaded = ApproximateIndex.load(tmp_path / 'index.faiss')
    assert len(loaded) == 2500 and loaded.lists == index.lists
    queries = vectors[1000:1100] + 0.1 * torch.randn(100, 16)
    assert torch.equal(loaded.search(queries, 30), index.search(queries, 30))
    assert shares(loaded, vectors[500:], ids[500:], queries) >= 0.9
    assert not set(loaded.search(queries, 30).flatten().tolist()) & set(ids[:500].tolist())


def test_search_among_some() -> None:
    vectors, ids = clustered(1000), torch.arange(1000)
    index = ApproximateIndex(vectors, ids, recall=0.5)
    some = ids[::7]
    found = index.search(vectors[:5], 200, among_M=some)
    assert set(found.flatten().tolist()) <= {*some.tolist(), -1}
    assert found[0, 0] == 0
    # three of another cluster are found, too, in lists that a search of all would not read
    few = torch.cdist(vectors[:1], vectors)[0].topk(3).indices
    assert set(index.search(vectors[:1], 3, among_M=few)[0].tolist()) == set(few.tolist())
    assert (index.search(vectors[:5], 3, among_M=ids[:0]) == -1).all()


def test_exact_distances_of_candidates() -> None:
    vectors = torch.randn(50, 8)
    distances, rows = rank(vectors[3], vectors, torch.tensor([40, 3, 7]), 2)
    assert rows[0] == 3
    cosine = torch.nn.functional.cosine_similarity(vectors[3:4].double(), vectors[rows].double())
    torch.testing.assert_close(distances, (1 - cosine).float(), atol=1e-6, rtol=0)
    assert len(rank(vectors[3], vectors, torch.tensor([], dtype=torch.int64), 2)[1]) == 0


@pytest.mark.parametrize('count', [1, 5, 60])
def test_few_vectors(count: int) -> None:
    index = ApproximateIndex(clustered(count), torch.arange(count))
    assert index.recall == 1 if count < 39 else index.recall >= 0.95
    assert (index.search(torch.randn(2, 16), count + 1)[:, -1] == -1).all()


def test_bad_input(tmp_path: Path) -> None:
    vectors, ids = clustered(100), torch.arange(100)
    index = ApproximateIndex(vectors, ids)
    with pytest.raises(ValueError, match='distinct, new and not negative'):
        index.add(vectors[:1], ids[:1])
    with pytest.raises(ValueError, match='length 8, not 16'):
        index.add(vectors[:1, :8], torch.tensor([100]))
    with pytest.raises(ValueError, match='NaN or infinite'):
        index.add(vectors[:1] * torch.inf, torch.tensor([100]))
    with pytest.raises(ValueError, match='recall is 2'):
        ApproximateIndex(vectors, ids, recall=2)
    with pytest.raises(ValueError, match='no vector'):
        ApproximateIndex(vectors[:0], ids[:0])
    with pytest.raises(ValueError, match='one name'):
        numbers_of(['a', 'b', 'a'])
    path = tmp_path / 'index.faiss'
    with pytest.raises(FileNotFoundError, match='does not exist'):
        ApproximateIndex.load(path)
    index.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match='damaged or no index'):
        ApproximateIndex.load(path)
    faiss.write_index(faiss.IndexFlatL2(4), str(path))
    with pytest.raises(ValueError, match=r'IndexFlat.*, not IVF,SQ8'):
        ApproximateIndex.load(path)


def test_parts_make_the_same_index_as_all_vectors() -> None:
    vectors, ids = clustered(900), torch.randperm(900)
    whole = ApproximateIndex(vectors, ids)
    calls = []

    def parts():
        calls.append(None)
        return zip(vectors.split(250), ids.split(250), strict=True)

    index = ApproximateIndex.from_parts(parts, 900)
    assert len(calls) == 2
    assert (index.recall, index.lists) == (whole.recall, whole.lists)
    assert torch.equal(index.search(vectors[:50], 30), whole.search(vectors[:50], 30))
    with pytest.raises(ValueError, match='there are 900 vectors, fewer'):
        ApproximateIndex.from_parts(parts, 1000)
    with pytest.raises(ValueError, match='899 vectors need as many numbers'):
        ApproximateIndex.from_parts(parts, 899)


@pytest.mark.parametrize('kind', ['random', 'far', 'near'])
@pytest.mark.parametrize('share', [0.5, 0.1, 0.02])
def test_recall_among_some(kind: str, share: float) -> None:
    """Those searched may be anywhere, also where the queries' clusters are not."""
    centers = torch.randn(20, 16)
    group = torch.randint(20, (4000,))
    vectors, ids = centers[group] + 0.3 * torch.randn(4000, 16), torch.randperm(10**6)[:4000]
    index = ApproximateIndex(vectors, ids, recall=0.95)
    assert index.lists[0] < index.lists[1] / 4
    queries = vectors[group == 0][:50] + 0.05 * torch.randn(50, 16)
    similarity = torch.nn.functional.cosine_similarity(vectors, centers[:1])
    order = dict(random=torch.randperm(4000), far=similarity.argsort())
    order['near'] = order['far'].flip(0)
    rows = order[kind][: int(share * 4000)].sort().values
    truth = ids[rows[exact(vectors[rows], queries, 10)]].tolist()
    found = index.search(queries, 30, among_M=ids[rows]).tolist()
    hits = sum(len({*t} & {*f}) for t, f in zip(truth, found, strict=True))
    assert hits / 500 >= 0.95
