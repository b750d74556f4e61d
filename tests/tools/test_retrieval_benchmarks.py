from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmdynamicvis.classification import AID

from ..classification.makers import write_scenes

CONFIG = 'configs/retrieval/pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px.py'


def run(checkout, script, *options):
    command = [sys.executable, checkout / 'tools/benchmark' / script, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
def test_models_are_compared_by_their_vectors(checkout, tmp_path):
    write_scenes(tmp_path / 'data', AID.METAINFO['classes'][::3], per_class=2)
    options = ['--data-root', tmp_path / 'data', '--out', tmp_path / 'a.json']
    options += ['--model', 'untrained', checkout / CONFIG, 'random', 'random']
    run(checkout, 'retrieval.py', *options)
    (row,) = json.loads((tmp_path / 'a.json').read_text())['rows']
    assert row['model'] == 'untrained'
    first, second = (one['mAP@20_float'] for one in row['runs'])
    # of 20 images, two are of a query's class; one of them is the query, and colors tell the other
    assert row['mean']['P@20_float'] == pytest.approx(10)
    assert row['mean']['mAP@20_float'] == pytest.approx((first + second) / 2)
    assert row['mean']['mAP@20_float'] > 60


@pytest.mark.exhaustive
def test_search_is_measured_against_a_floor(checkout, tmp_path):
    options = ['--vectors', '500', '--length', '128', '--queries', '15', '--repeats', '1']
    run(checkout, 'vector_index.py', *options, '--out', tmp_path / 'a.json')
    rows = json.loads((tmp_path / 'a.json').read_text())['rows']
    assert [(row['code'], row['length']) for row in rows] == [
        ('float', 128),
        ('binary', 128),
        ('hash64', 64),
    ]
    for row in rows:
        assert min(row['build_s'], row['search_s'], row['floor_s']) > 0
        assert row['over_the_floor'] == pytest.approx(row['search_s'] / row['floor_s'])
