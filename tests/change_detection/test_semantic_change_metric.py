"""SeK and its kin against pixels counted one by one in float64, and against hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdynamicvis.change_detection import SemanticChangeMetric
from mmdynamicvis.change_detection.semantic_change_metric import semantic_change_scores

CLASSES = ('unchanged', 'water', 'ground', 'tree')
NAMES = ('SeK', 'mIoU', 'score', 'Fscd', 'precision', 'recall', 'OA', 'kappa', 'kappa_n0')


def sample(predictions, labels) -> dict:
    """Return a sample of two predicted and two annotated maps, of rows of numbers."""
    data = SegDataSample()
    for kind, maps in (('pred', predictions), ('gt', labels)):
        for date, rows in zip(('from', 'to'), maps, strict=True):
            data.set_data({f'{kind}_semantic_{date}': PixelData(data=torch.tensor(rows)[None])})
    return data.to_dict()


def evaluate(*samples, **options) -> dict[str, float]:
    metric = SemanticChangeMetric(**options)
    metric.dataset_meta = dict(maps=dict(semantic_from=dict(classes=CLASSES)))
    metric.process({}, samples)
    return {k.removeprefix('semantic/'): v for k, v in metric.evaluate(len(samples)).items()}


def kappa(pairs) -> float:
    """Return Cohen's kappa of (predicted, annotated) pairs."""
    if not pairs:
        return 0.0
    n = len(pairs)
    observed = sum(p == t for p, t in pairs) / n
    chance = sum(
        sum(p == c for p, _ in pairs) / n * sum(t == c for _, t in pairs) / n
        for c in {c for pair in pairs for c in pair}
    )
    return 0.0 if chance == 1 else (observed - chance) / (1 - chance)


def oracle(pairs) -> dict[str, float]:
    """Return the scores of (predicted, annotated) pairs, by definition."""

    def ratio(part, whole):
        return part / whole if whole else 0.0

    def iou(both, either):
        return ratio(sum(bool(both(x)) for x in pairs), sum(bool(either(x)) for x in pairs))

    changed = iou(lambda x: x[0] and x[1], lambda x: x[0] or x[1])
    unchanged = iou(lambda x: not (x[0] or x[1]), lambda x: not (x[0] and x[1]))
    ious = []
    if any(p or t for p, t in pairs):
        ious.append(changed)
    if any(not (p and t) for p, t in pairs):
        ious.append(unchanged)
    kappa_n0 = kappa([(p, t) for p, t in pairs if p or t])
    sek = kappa_n0 * math.exp(changed) / math.e
    hits = sum(p == t != 0 for p, t in pairs)
    precision = ratio(hits, sum(p > 0 for p, _ in pairs))
    recall = ratio(hits, sum(t > 0 for _, t in pairs))
    miou = ratio(sum(ious), len(ious))
    values = dict(
        SeK=sek,
        mIoU=miou,
        score=0.3 * miou + 0.7 * sek,
        Fscd=ratio(2 * precision * recall, precision + recall),
        precision=precision,
        recall=recall,
        OA=ratio(sum(p == t for p, t in pairs), len(pairs)),
        kappa=kappa(pairs),
        kappa_n0=kappa_n0,
    )
    return {name: 100 * value for name, value in values.items()}


def test_hand_made_case():
    """8 counts: 3 unchanged and found so, 2 hits, 1 wrong class, 1 missed, 1 false alarm."""
    scores = evaluate(
        sample(([[0, 0, 1, 2]], [[0, 2, 1, 0]]), ([[0, 0, 1, 1]], [[0, 0, 1, 3]])),
    )
    # of changed pixels: 3 in both, 5 in either; unchanged: 3 in both, 5 in either
    assert scores['mIoU'] == pytest.approx(60)
    # without q00: 2 of 5 agree; rows 0: 1, 1: 2, 2: 2; columns 0: 1, 1: 3, 3: 1
    kappa_n0 = (2 / 5 - (1 * 1 + 2 * 3) / 25) / (1 - (1 * 1 + 2 * 3) / 25)
    assert scores['kappa_n0'] == pytest.approx(100 * kappa_n0)
    assert scores['SeK'] == pytest.approx(100 * kappa_n0 * math.exp(0.6 - 1))
    assert scores['score'] == pytest.approx(0.3 * 60 + 0.7 * scores['SeK'])
    assert (scores['precision'], scores['recall']) == pytest.approx((50, 50))
    assert scores['Fscd'] == pytest.approx(50)
    assert scores['OA'] == pytest.approx(100 * 5 / 8)


maps = st.integers(0, 2**31).map(np.random.default_rng)


@given(maps, st.sampled_from(['dates', 'transitions']), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_against_pixels_counted_one_by_one(rng, protocol, ignored):
    samples, pairs = [], []
    for _ in range(2):
        both = []
        for _ in range(2):  # predictions, labels
            change = rng.random((3, 4)) < rng.choice([0, 0.3, 1])
            both.append([rng.integers(1, rng.integers(2, 5), (3, 4)) * change for _ in range(2)])
        predictions, labels = both
        labels[int(rng.integers(2))].flat[:ignored] = 255
        samples.append(sample([m.tolist() for m in predictions], [m.tolist() for m in labels]))
        known = (labels[0] != 255) & (labels[1] != 255)
        if protocol == 'dates':
            for found, true in zip(predictions, labels, strict=True):
                pairs += zip(found[known].tolist(), true[known].tolist(), strict=True)
        else:
            found, true = ((m[0] * 10 + m[1])[known].tolist() for m in both)
            pairs += zip(found, true, strict=True)
    scores = evaluate(*samples, protocol=protocol)
    assert list(scores) == list(NAMES)
    expected = oracle(pairs)
    assert scores == pytest.approx(expected, abs=1e-9)
    assert all(map(math.isfinite, scores.values()))


def test_nothing_changed_and_nothing_found():
    nothing = [[0, 0]]
    scores = evaluate(sample((nothing, nothing), (nothing, nothing)))
    assert (scores['OA'], scores['mIoU']) == (100, 100)
    assert (scores['SeK'], scores['Fscd'], scores['kappa']) == (0, 0, 0)


def test_one_class_alone_has_no_kappa():
    """As in the published code: all agreement is by chance."""
    ones = [[1, 1]]
    scores = evaluate(sample((ones, ones), (ones, ones)))
    assert (scores['SeK'], scores['Fscd'], scores['mIoU']) == (0, 100, 100)


def test_perfect_maps():
    cover = [[0, 1, 2]], [[0, 2, 3]]
    scores = evaluate(sample(cover, cover))
    assert scores == pytest.approx(dict.fromkeys(NAMES, 100))


def test_protocols_differ():
    """One date right and one wrong is half right, or not at all."""
    predictions, labels = ([[0, 1, 1]], [[0, 2, 2]]), ([[0, 1, 3]], [[0, 2, 2]])
    assert evaluate(sample(predictions, labels))['Fscd'] == pytest.approx(75)
    transitions = evaluate(sample(predictions, labels), protocol='transitions')
    assert transitions['Fscd'] == pytest.approx(50)


def test_an_empty_matrix():
    assert set(semantic_change_scores(np.zeros((3, 3), int)).values()) == {0}


@pytest.mark.parametrize(
    ('predictions', 'labels', 'message'),
    [
        (([[0, 1]],) * 2, ([[0, 9]],) * 2, 'a map has the class 9; the classes are 0 to 3'),
        (([[0, 9]],) * 2, ([[0, 1]],) * 2, 'a map has the class 9; the classes are 0 to 3'),
        (([[0, 1, 1]],) * 2, ([[0, 1]],) * 2, r'has \(1, 3\) pixels, the label \(1, 2\)'),
    ],
)
def test_maps_that_do_not_fit(predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(sample(predictions, labels))


def test_unknown_protocol():
    with pytest.raises(ValueError, match="protocol is 'pixels'; choose 'dates' or 'transitions'"):
        SemanticChangeMetric(protocol='pixels')
