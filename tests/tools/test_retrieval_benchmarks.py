from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmdynamicvis.classification.scene_dataset import AID

CONFIG = 'configs/retrieval/pooled_dynamicvis-tiny_1xb32-zeroshot_aid150-128px.py'


def run(checkout, script, *options):
    command = [sys.executable, checkout / 'tools/benchmark' / script, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def write_aid(folder):
    """Write a query of every third class, and two images of each of these classes."""
    lines = dict(train=[], val=[])
    for i, name in enumerate(AID.METAINFO['classes'][::3]):
        (folder / name).mkdir(parents=True)
        for k, part in enumerate(('val', 'train', 'train')):
            file = f'{name}/{name.lower()}_{k}.jpg'
            noise = np.random.default_rng((i, k)).integers(0, 60, (64, 64, 3))
            Image.fromarray((noise + 19 * i).astype(np.uint8)).save(folder / file)
            lines[part].append(f'{file}\n')
    for part, files in lines.items():
        (folder / f'{part}.txt').write_text(''.join(files))


@pytest.mark.slow
def test_models_are_compared_by_their_vectors(checkout, tmp_path):
    write_aid(tmp_path / 'data')
    options = ['--data-root', tmp_path / 'data', '--out', tmp_path / 'a.json']
    options += ['--model', 'untrained', checkout / CONFIG, 'random', 'random']
    run(checkout, 'retrieval.py', *options)
    (row,) = json.loads((tmp_path / 'a.json').read_text())['rows']
    assert row['model'] == 'untrained'
    first, second = (one['mAP@20_float'] for one in row['runs'])
    assert first != second
    # of 20 found among 20, the two right ones count; grey levels tell the classes apart
    assert row['mean']['P@20_float'] == pytest.approx(10)
    assert row['mean']['mAP@20_float'] == pytest.approx((first + second) / 2)
    assert row['mean']['mAP@20_float'] > 25


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
        assert row['agreement'] == 1
        assert set(row['search_s']) == {'faiss', 'torch', 'floor'}
        assert min(row['search_s'].values()) > 0
