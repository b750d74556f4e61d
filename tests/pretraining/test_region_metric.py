from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer

from mmdynamicvis.pretraining.region_metric import RegionMetric

CLASSES = ('airport', 'zoo', 'port', 'mine')


def samples(truth, predictions):
    """One image per two regions."""
    return [
        dict(
            gt_instances=dict(labels=torch.tensor(truth[i : i + 2])),
            pred_instances=dict(labels=torch.tensor(predictions[i : i + 2])),
        )
        for i in range(0, len(truth), 2)
    ]


def build(classes=CLASSES, **kwargs):
    metric = RegionMetric(**kwargs)
    metric.dataset_meta = dict(classes=classes)
    return metric


def test_means_over_categories_that_occur():
    metric = build()
    metric.process({}, samples([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2]))
    metric.process({}, [dict(gt_instances=dict(labels=torch.zeros(0, dtype=torch.long)))])
    metrics = metric.evaluate(4)
    assert metrics['region/accuracy'] == pytest.approx(100 * 4 / 6)
    assert metrics['region/precision'] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1) / 3)
    assert metrics['region/recall'] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1) / 3)
    assert metrics['region/f1-score'] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1) / 3)


def test_every_evaluation_starts_anew():
    metric = build()
    metric.process({}, samples([0, 1], [1, 0]))
    assert metric.evaluate(1)['region/accuracy'] == 0
    metric.process({}, samples([0, 1], [0, 1]))
    assert metric.evaluate(1)['region/accuracy'] == 100


def test_table_names_every_category(tmp_path):
    log = tmp_path / 'log'
    MMLogger.get_instance('region metric', log_file=str(log))
    metric = build()
    metric.process({}, samples([0, 0, 2, 2], [0, 2, 2, 2]))
    metric.evaluate(2)
    lines = {line.split()[0]: line.split()[1:] for line in log.read_text().splitlines() if line}
    assert lines['airport'] == ['2', '100.00', '50.00', '66.67']
    assert lines['port'] == ['2', '66.67', '100.00', '80.00']


@pytest.mark.parametrize('n_classes', [4, 63])
def test_draws_the_confusion_matrix(n_classes, tmp_path):
    visualizer = Visualizer.get_instance(
        f'region metric {n_classes}', vis_backends=[dict(type='LocalVisBackend')], save_dir=tmp_path
    )
    metric = build([f'category {i}' for i in range(n_classes)], confusion_matrix=True)
    truth = np.arange(2 * n_classes) % n_classes
    metric.process({}, samples(truth.tolist(), np.roll(truth, 1).tolist()))
    metric.evaluate(n_classes)
    (picture,) = tmp_path.rglob('confusion_matrix*.png')
    assert picture.stat().st_size > 5000
    assert visualizer is Visualizer.get_current_instance()


def test_without_class_names():
    with pytest.raises(ValueError, match=r'metainfo\.classes'):
        build(()).evaluate(0)


SCRIPT = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, sys.argv[1])
from test_region_metric import build, samples
dist.init_process_group('gloo')
metric = build()
# the second process has fewer images, the third none
shares = [([0, 0, 0, 1], [0, 0, 1, 1]), ([1, 2], [0, 2]), ([], [])]
metric.process({}, samples(*shares[dist.get_rank()]))
metrics = metric.evaluate(3)
assert abs(metrics['region/accuracy'] - 100 * 4 / 6) < 1e-4, metrics
assert abs(metrics['region/f1-score'] - 100 * (2 / 3 + 1 / 2 + 1) / 3) < 1e-4, metrics
print('counted once')
dist.destroy_process_group()
"""


@pytest.mark.exhaustive
def test_uneven_processes_count_every_region_once(tmp_path, request):
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=3']
    done = subprocess.run(
        [*command, str(script), str(request.path.parent)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('counted once') == 3
