"""mAP@k and precision@k, by hand and against the published order of computation."""

from __future__ import annotations

import pytest
import torch

from mmdynamicvis.registry import METRICS
from mmdynamicvis.retrieval.metric import score


def evaluate(queries, database, **options) -> dict[str, float]:
    metric = METRICS.build(dict(type='mmdynamicvis.RetrievalMetric', **options))
    samples = [
        dict(feature=torch.tensor(vector, dtype=torch.float32), gt_label=labels, role=role)
        for role, part in (('query', queries), ('database', database))
        for vector, labels in part
    ]
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_average_precision_by_hand() -> None:
    hits = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
    values = score(hits, 4)
    expected = (((1 / 1 + 2 / 3) / 2) + 1 / 4 + 0) / 3
    assert values['mAP@4'] == pytest.approx(100 * expected)
    assert values['P@4'] == pytest.approx(100 * (2 / 4 + 1 / 4 + 0) / 3)


DATABASE = [([1.0, 0.1], [0, 2]), ([1.0, 0.0], [1]), ([0.0, 1.0], [0]), ([-1.0, 0.0], [2, 3])]


def test_any_shared_label_is_a_hit() -> None:
    # nearest first: places 1, 0, 2, 3
    values = evaluate([([1.0, 0.0], [0, 3])], DATABASE, k=4, codes=['float'])
    assert values['retrieval/mAP@4_float'] == pytest.approx(100 * (1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert values['retrieval/P@4_float'] == pytest.approx(75)


def test_exact_match_needs_all_labels() -> None:
    options = dict(k=4, codes=['float'], match='exact')
    values = evaluate([([1.0, 0.0], [2, 0])], DATABASE, **options)
    assert values['retrieval/mAP@4_float'] == pytest.approx(100 / 2)


def test_all_codes() -> None:
    torch.manual_seed(0)
    centers = torch.randn(3, 128)
    samples = [((centers[i % 3] + 0.3 * torch.randn(128)).tolist(), [i % 3]) for i in range(60)]
    values = evaluate(samples[:12], samples[12:], k=10)
    assert set(values) == {
        f'retrieval/{name}@10_{code}'
        for name in ('mAP', 'P')
        for code in ('float', 'binary', 'hash64')
    }
    assert all(value == pytest.approx(100) for value in values.values())


def test_ties_are_in_the_order_of_the_data_base() -> None:
    database = [([1.0] * 8, [0]), ([1.0] * 8, [1]), ([1.0] * 8, [0])]
    values = evaluate([([1.0] * 8, [1])], database, k=2, codes=['binary'])
    assert values['retrieval/mAP@2_binary'] == pytest.approx(50)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match="no sample has the role 'query'"):
        evaluate([], DATABASE)
    with pytest.raises(ValueError, match=r"codes has \['hash32'\]"):
        evaluate([], DATABASE, codes=['hash32'])
    with pytest.raises(ValueError, match="match is 'some'"):
        evaluate([], DATABASE, match='some')
