from __future__ import annotations

import pytest
import torch
from mmengine.logging import MMLogger

from mmdynamicvis.pretraining.zero_shot_metric import AMONG_ALL, ZeroShotMetric

CLASSES = ('a', 'b', 'c', 'd')


def build(held_out=('b', 'd'), classes=CLASSES):
    metric = ZeroShotMetric(held_out)
    metric.dataset_meta = dict(classes=classes)
    return metric


def sample(truth, scores):
    return dict(
        gt_instances=dict(labels=torch.tensor(truth, dtype=torch.long)),
        pred_instances=dict(scores=torch.tensor(scores).reshape(-1, len(CLASSES))),
    )


SCORES = [
    # a     b    c    d
    [0.9, 0.0, 0.1, 0.0],  # a, right
    [0.1, 0.2, 0.7, 0.0],  # a, wrong
    [0.6, 0.3, 0.0, 0.1],  # b, right among held-out names, wrong among all
    [0.1, 0.8, 0.0, 0.1],  # b, right among both
    [0.0, 0.1, 0.5, 0.4],  # b, wrong among both
    [0.0, 0.1, 0.2, 0.7],  # d, right among both
    [0.0, 0.1, 0.9, 0.0],  # c, right
]
TRUTH = [0, 0, 1, 1, 1, 3, 2]
EXPECTED = {
    'zero-shot/accuracy': 100 * (2 / 3 + 1) / 2,
    'zero-shot/regions': 100 * 3 / 4,
    'zero-shot/chance': 50,
    'zero-shot/generalized': 100 * (1 / 3 + 1) / 2,
    'zero-shot/generalized-chance': 25,
    'zero-shot/seen': 75,
    'zero-shot/harmonic-mean': 2 * (200 / 3) * 75 / (200 / 3 + 75),
}


def test_accuracies_counted_by_hand(tmp_path):
    log = tmp_path / 'log'
    MMLogger.get_instance('zero-shot', log_file=str(log))
    metric = build()
    metric.process({}, [sample(TRUTH[:3], SCORES[:3]), sample([], [])])
    metric.process({}, [sample(TRUTH[3:], SCORES[3:])])
    assert metric.evaluate(3) == pytest.approx(EXPECTED)
    rows = {line.split()[0]: line.split()[1:] for line in log.read_text().splitlines() if line}
    assert rows['b'] == ['yes', '3', '66.67', '33.33']
    assert rows['a'] == ['no', '2', '-', '50.00']
    # the next evaluation starts anew
    metric.process({}, [sample([1, 0], [SCORES[4], SCORES[0]])])
    assert metric.evaluate(1)['zero-shot/accuracy'] == 0


def test_categories_without_regions_do_not_count():
    metric = build()
    metric.process({}, [sample(TRUTH[:5], SCORES[:5])])
    found = metric.evaluate(1)
    assert found['zero-shot/accuracy'] == pytest.approx(200 / 3)
    assert found['zero-shot/seen'] == pytest.approx(50)
    assert build().confusion()[AMONG_ALL].sum() == 0


@pytest.mark.parametrize(('part', 'title'), [(slice(0, 2), 'held-out'), (slice(2, 5), 'trained')])
def test_nothing_to_evaluate_is_an_error(part, title):
    metric = build()
    metric.process({}, [sample(TRUTH[part], SCORES[part])])
    with pytest.raises(ValueError, match=f'no region of any {title} category'):
        metric.evaluate(1)


def test_wrong_arguments():
    with pytest.raises(ValueError, match='held_out is empty'):
        ZeroShotMetric([])
    with pytest.raises(ValueError, match=r'metainfo\.classes'):
        build(classes=()).confusion()
    with pytest.raises(ValueError, match=r"\['z'\] are none"):
        build(held_out=['z']).process({}, [sample(TRUTH, SCORES)])
