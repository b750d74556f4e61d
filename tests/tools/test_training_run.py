"""How the benchmarks read trainings that were interrupted, and look at validation images."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def training_run(checkout):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(checkout / 'tools/benchmark'))
        yield import_module('training_run')


def write_scalars(folder: Path, start: str, rows: list[dict]) -> None:
    (folder / start / 'vis_data').mkdir(parents=True)
    lines = '\n'.join(map(json.dumps, rows))
    (folder / start / 'vis_data/scalars.json').write_text(lines)


def test_the_curve_of_a_resumed_training_is_one(training_run, checkout, tmp_path):
    config = checkout / 'configs/pretraining/mil_dynamicvis-tiny_1xb16-24e_nwpu-192px.py'
    run = training_run.Run(config, tmp_path, tmp_path, seed=0, metric='region/f1-score')
    assert run.curve() == {}
    assert not run.finished()
    loss = dict(loss=1.0, step=400)
    write_scalars(tmp_path, '1', [loss, {'region/f1-score': 20.0, 'step': 2}])
    write_scalars(
        tmp_path, '2', [{'region/f1-score': v, 'region/recall': 1.0, 'step': s} for s, v in
                        ((2, 21.0), (4, 30.0))]
    )  # fmt: skip
    assert run.curve() == {2: 21.0, 4: 30.0}
    assert run.curve('region/recall') == {2: 1.0, 4: 1.0}
    assert not run.finished()
    write_scalars(tmp_path, '3', [{'region/f1-score': 31.0, 'step': 24}])
    assert run.finished()


def test_iterations_are_counted_too(training_run, checkout, tmp_path):
    config = checkout / 'configs/segmentation/upernet_resnet18_1xb4-300i_cil-roads-256px.py'
    run = training_run.Run(config, None, tmp_path, seed=0, metric='target/f1')
    write_scalars(tmp_path, '1', [{'target/f1': 50.0, 'step': 200}])
    assert not run.finished()
    write_scalars(tmp_path, '2', [{'target/f1': 60.0, 'step': 300}])
    assert run.finished()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    'config',
    [
        'instance_segmentation/mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py',
        'rotated_detection/oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py',
    ],
)
def test_boxes_are_in_pixels_of_the_input(training_run, checkout, shared_data, tmp_path, config):
    run = training_run.Run(
        checkout / 'configs' / config, shared_data / 'nwpu_vhr10', tmp_path, 0, metric='coco'
    )
    samples = training_run.validation_samples(run.load())
    assert len(samples) == 130
    for sample in samples:
        height, width = sample['inputs'].shape[1:]
        assert max(height, width) == 256
        x1, y1, x2, y2 = training_run.corners(sample['data_samples'].gt_instances.bboxes).T
        # upright boxes around rotated ones may reach over the edge
        assert (x2 <= width + 40).all() and (y2 <= height + 40).all()
        assert (x1 < x2).all() and (y1 < y2).all()
    widest = max(training_run.corners(s['data_samples'].gt_instances.bboxes).max() for s in samples)
    assert widest > 200
