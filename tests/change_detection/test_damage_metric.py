"""The score of xView2 against pixels counted one by one in float64, and against hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdynamicvis.change_detection import BuildingDamageMetric

MAPS = dict(
    location=dict(classes=('background', 'building')),
    damage=dict(classes=('background', 'no-damage', 'minor-damage', 'major-damage', 'destroyed')),
)
LEVELS = ('no_damage', 'minor_damage', 'major_damage', 'destroyed')
NAMES = (
    *('score', 'localization_f1', 'damage_f1'),
    *(f'damage_f1_{level}' for level in LEVELS),
    *('OA', 'mIoU'),
)


def sample(pred_location, pred_damage, gt_location, gt_damage) -> dict:
    """Return a sample of predicted and annotated maps of rows of numbers."""
    data = SegDataSample()
    maps = dict(
        pred_location=pred_location,
        pred_damage=pred_damage,
        gt_location=gt_location,
        gt_damage=gt_damage,
    )
    for name, rows in maps.items():
        data.set_data({name: PixelData(data=torch.as_tensor(rows)[None])})
    return data.to_dict()


def evaluate(*samples) -> dict[str, float]:
    metric = BuildingDamageMetric()
    metric.dataset_meta = dict(maps=MAPS)
    metric.process({}, samples)
    return {k.removeprefix('damage/'): v for k, v in metric.evaluate(len(samples)).items()}


def f1(pairs, number) -> float:
    """Return the F1 of a class of (predicted, annotated) pairs by precision and recall."""
    right = sum(p == t == number for p, t in pairs)
    if right == 0:
        return 0.0
    precision = right / sum(p == number for p, _ in pairs)
    recall = right / sum(t == number for _, t in pairs)
    return 2 * precision * recall / (precision + recall)


def oracle(location, damage) -> dict[str, float]:
    """Return the scores of (predicted, annotated) pairs of both maps, by definition."""
    within = [(p, t) for p, t in damage if t > 0]
    f1s = [f1(within, level) for level in range(1, 5)]
    localization = f1(location, 1)
    mean = len(f1s) / sum(1 / (value + 1e-6) for value in f1s)
    ious = [
        sum(p == t == c for p, t in damage) / sum(c in pair for pair in damage)
        for c in range(5)
        if any(c in pair for pair in damage)
    ]
    values = dict(
        score=0.3 * localization + 0.7 * mean,
        localization_f1=localization,
        damage_f1=mean,
        **{f'damage_f1_{name}': value for name, value in zip(LEVELS, f1s, strict=True)},
        OA=sum(p == t for p, t in damage) / len(damage) if damage else 0.0,
        mIoU=sum(ious) / len(ious) if ious else 0.0,
    )
    return {name: 100 * value for name, value in values.items()}


def test_hand_made_case():
    """One row of pixels: what is found and what is there."""
    scores = evaluate(
        sample(
            [[1, 1, 1, 1, 1, 0, 1, 0]],
            [[1, 2, 3, 4, 4, 4, 1, 0]],
            [[1, 1, 1, 1, 1, 1, 0, 0]],
            [[1, 2, 3, 4, 3, 4, 0, 0]],
        )
    )
    # of buildings 5 are found, 1 is missed, 1 is made up
    assert scores['localization_f1'] == pytest.approx(100 * 10 / 12)
    # the level 4 where no building is found does not count as found, and the 1 where there is none
    # is not counted
    assert scores['damage_f1_no_damage'] == pytest.approx(100)
    assert scores['damage_f1_minor_damage'] == pytest.approx(100)
    assert scores['damage_f1_major_damage'] == pytest.approx(100 * 2 / 3)
    assert scores['damage_f1_destroyed'] == pytest.approx(100 * 2 / 4)
    assert scores['damage_f1'] == pytest.approx(100 * 4 / (1 + 1 + 3 / 2 + 2), rel=1e-5)
    assert scores['score'] == pytest.approx(0.3 * 1000 / 12 + 0.7 * scores['damage_f1'])
    assert scores['OA'] == pytest.approx(100 * 5 / 8)
    # background 1 of 3, level 1 of 2, 1 of 1, 1 of 2, 1 of 3
    assert scores['mIoU'] == pytest.approx(100 * (1 / 3 + 1 / 2 + 1 + 1 / 2 + 1 / 3) / 5)


def test_damage_that_is_not_known():
    """A building that is not classified counts as a building, and its damage does not count."""
    one = sample([[1, 1]], [[1, 4]], [[1, 1]], [[1, 255]])
    other = sample([[1, 1]], [[1, 1]], [[1, 1]], [[1, 0]])
    for scores in (evaluate(one), evaluate(other)):
        assert scores['localization_f1'] == 100
        assert scores['damage_f1_no_damage'] == 100
        assert scores['damage_f1_destroyed'] == 0


def test_counts_are_summed_over_pairs_before_ratios():
    """A level made up in a pair that lacks it counts, as in the corrected published code."""
    first = sample([[1, 1, 1, 1]], [[1, 2, 3, 4]], [[1, 1, 1, 1]], [[1, 2, 3, 4]])
    second = sample([[1, 1]], [[4, 4]], [[1, 1]], [[1, 1]])
    scores = evaluate(first, second)
    assert scores['damage_f1_destroyed'] == pytest.approx(100 * 2 / 4)
    assert scores['damage_f1_no_damage'] == pytest.approx(100 * 2 / 4)
    assert scores['damage_f1_minor_damage'] == 100


def test_a_level_that_no_pixel_has():
    """Its F1 is 0, and with it nearly the harmonic mean, as in the published code."""
    maps = [[1, 1, 1]], [[1, 2, 3]]
    scores = evaluate(sample(*maps, *maps))
    assert scores['damage_f1_destroyed'] == 0
    assert scores['damage_f1'] == pytest.approx(100 * 4 / (3 / (1 + 1e-6) + 1e6), rel=1e-9)
    assert scores['score'] == pytest.approx(30, abs=1e-2)
    assert scores['mIoU'] == 100


@pytest.mark.parametrize('label', [0, 255])
def test_no_buildings(label):
    scores = evaluate(sample([[0, 0]], [[0, 0]], [[label] * 2], [[label] * 2]))
    assert list(scores) == list(NAMES)
    assert all(map(math.isfinite, scores.values()))
    assert scores['localization_f1'] == 0
    assert scores['OA'] == scores['mIoU'] == (100 if label == 0 else 0)


def test_perfect_maps():
    maps = [[0, 1, 1, 1, 1]], [[0, 1, 2, 3, 4]]
    assert evaluate(sample(*maps, *maps)) == pytest.approx(dict.fromkeys(NAMES, 100), rel=1e-5)


@given(st.integers(0, 2**31).map(np.random.default_rng))
@settings(max_examples=60, deadline=None)
def test_against_pixels_counted_one_by_one(rng):
    samples, location, damage = [], [], []
    for _ in range(2):
        most = int(rng.integers(1, 6))
        maps = [rng.integers(0, high, (3, 4)) for high in (2, most, 2, most)]
        for labels in maps[2:]:
            labels.flat[: rng.integers(3)] = 255
        samples.append(sample(*maps))
        found, levels, true, true_levels = (m.ravel().tolist() for m in maps)
        location += [(p, t) for p, t in zip(found, true, strict=True) if t != 255]
        levels = [level * building for level, building in zip(levels, found, strict=True)]
        damage += [(p, t) for p, t in zip(levels, true_levels, strict=True) if t != 255]
    scores = evaluate(*samples)
    assert scores == pytest.approx(oracle(location, damage), abs=1e-9)
    assert list(scores) == list(NAMES)


@pytest.mark.parametrize(
    ('maps', 'message'),
    [
        (([[2]], [[1]], [[1]], [[1]]), 'the prediction of location has the class 2; the classes'),
        (([[1]], [[5]], [[1]], [[1]]), 'the prediction of damage has the class 5; the classes are'),
        (
            ([[1]], [[1]], [[1]], [[5]]),
            'the label of damage has the class 5; the classes are 0 to 4',
        ),
        (([[1]], [[1]], [[1]], [[-1]]), 'the label of damage has the class -1; the classes are 0'),
        (([[1]], [[1]], [[1, 1]], [[1]]), r'of location has \(1, 1\) pixels, the label \(1, 2\)'),
    ],
)
def test_maps_that_do_not_fit(maps, message):
    with pytest.raises(ValueError, match=message):
        evaluate(sample(*maps))
