"""The benchmark of classification, on trainings that are finished."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import pytest
import torch
from PIL import Image

ACCURACY = {'dynamicvis-tiny': {0: 50.0, 1: 54.0}, 'resnet18': {0: 40.0, 1: 40.0}}


@pytest.mark.shared_data
@pytest.mark.parametrize(
    'seeds', [pytest.param([0], marks=pytest.mark.exhaustive), [0, 1]], ids=str
)
def test_finished_trainings_are_compared_and_not_repeated(
    shared_data, checkout, tmp_path, monkeypatch, seeds
):
    monkeypatch.setattr(torch, 'set_num_threads', lambda n: None)  # other tests keep theirs
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    classification = import_module('classification')
    monkeypatch.setattr(classification, 'REPEATS', 1)
    for name, of_seed in ACCURACY.items():
        for seed, last in of_seed.items():
            folder = tmp_path / 'runs/aid150' / name / str(seed) / 'run/vis_data'
            folder.mkdir(parents=True)
            rows = ({'accuracy/top1': last * i / 10, 'step': i} for i in range(1, 11))
            (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    out, curves = tmp_path / 'figures.json', tmp_path / 'curves.png'
    options = ['--data-root', shared_data / 'aid150', '--work-dir', tmp_path / 'runs']
    options += ['--contenders', *ACCURACY, '--seeds', *seeds, '--out', out, '--curves', curves]
    monkeypatch.setattr(sys, 'argv', ['classification.py', 'aid150', *map(str, options)])
    classification.main()
    ours, theirs = json.loads(out.read_text())['rows']
    assert (ours['mean'], theirs['mean']) == ((52, 40) if len(seeds) == 2 else (50, 40))
    # t of one degree of freedom, 12.706, times the standard error 2
    expected = pytest.approx(25.41, abs=0.01) if len(seeds) == 2 else None
    assert ours['interval'] == expected
    assert (ours['epochs'], ours['steps_per_epoch']) == (10, 47)
    assert ours['parameters'] < theirs['parameters'] / 4
    assert Image.open(curves).width > 100
