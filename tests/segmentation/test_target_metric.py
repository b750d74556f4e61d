"""Precision, recall, F1 and IoU of one class, against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation.metrics import IoUMetric
from mmseg.structures import SegDataSample

from mmdynamicvis.segmentation import TargetMetric

CLASSES = ('background', 'road')


def sample(prediction, label):
    data = SegDataSample()
    data.pred_sem_seg = PixelData(data=torch.tensor(prediction)[None])
    data.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    return data.to_dict()


def evaluate(*samples, metric=None, classes=CLASSES):
    metric = metric or TargetMetric()
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def target(metrics):
    return [metrics[f'target/{name}'] for name in ('precision', 'recall', 'f1', 'iou')]


def test_hand_made_case():
    """3 hits, 1 false alarm, 2 misses; the same at the edge of the image as inside."""
    prediction = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    label = [[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]]
    metrics = evaluate(sample(prediction, label))
    assert target(metrics) == pytest.approx([75, 60, 200 / 3, 50])
    assert metrics['mIoU'] == pytest.approx((50 + 100 * 6 / 9) / 2, abs=0.01)


def test_ignored_pixels_count_nowhere():
    prediction = [[1, 1, 0, 0], [1, 0, 1, 1]]
    label = [[1, 0, 1, 0], [255, 255, 255, 255]]
    assert target(evaluate(sample(prediction, label))) == pytest.approx([50, 50, 50, 100 / 3])


def test_pixels_are_counted_over_all_images_together():
    """And not averaged per image: 4 hits and 4 misses, then 0 and 2."""
    first = sample([[1] * 4 + [0] * 4], [[1] * 8])
    second = sample([[0] * 8], [[1] * 2 + [0] * 6])
    metrics = evaluate(first, second)
    assert target(metrics) == pytest.approx([100, 40, 800 / 14, 40])


def test_nothing_to_find():
    precision, recall, f1, iou = target(evaluate(sample([[0, 0]], [[0, 0]])))
    assert np.isnan([precision, recall, f1, iou]).all()
    precision, recall, f1, iou = target(evaluate(sample([[0, 0]], [[0, 1]])))
    assert np.isnan(precision)
    assert (recall, f1, iou) == (0, 0, 0)
    precision, recall, f1, iou = target(evaluate(sample([[0, 1]], [[0, 0]])))
    assert np.isnan(recall)
    assert (precision, f1, iou) == (0, 0, 0)


def test_another_target():
    metric = TargetMetric(target='background')
    metrics = evaluate(sample([[0, 0, 1]], [[0, 1, 1]]), metric=metric)
    assert target(metrics) == pytest.approx([50, 100, 200 / 3, 50])


def test_means_are_those_of_mmseg():
    generator = torch.Generator().manual_seed(0)
    prediction, label = torch.randint(0, 3, (2, 40, 50), generator=generator)
    label[:5] = 255
    samples = sample(prediction.tolist(), label.tolist())
    names = ('a', 'b', 'c')
    ours = evaluate(samples, classes=names)
    host = IoUMetric(iou_metrics=['mIoU', 'mFscore'])
    theirs = evaluate(samples, metric=host, classes=names)
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs)


def test_large_images_are_counted_exactly():
    """float32 stops at 2^24 pixels."""
    pixels = 2**24 + 3
    ones = torch.ones(1, pixels, dtype=torch.uint8)
    counts = TargetMetric.intersect_and_union(ones, ones, 2, 255)
    assert [count.tolist() for count in counts] == [[0, pixels]] * 4


@pytest.mark.parametrize(
    ('prediction', 'label', 'message'),
    [
        (
            [[0, 1]],
            [[0, 7]],
            r'labels \[7\] are no classes: there are 2 classes, and 255 is ignored',
        ),
        ([[0, 1, 1]] * 2, [[0, 1]] * 2, r'prediction has \(2, 3\) pixels, the label \(2, 2\)'),
    ],
)
def test_labels_that_do_not_fit(prediction, label, message):
    metric = TargetMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    data = dict(
        pred_sem_seg=dict(data=torch.tensor(prediction)), gt_sem_seg=dict(data=torch.tensor(label))
    )
    with pytest.raises(ValueError, match=message):
        metric.process({}, [data])


def test_unknown_target():
    with pytest.raises(ValueError, match="target is 'river', the classes are background, road"):
        evaluate(sample([[0]], [[1]]), metric=TargetMetric(target='river'))
