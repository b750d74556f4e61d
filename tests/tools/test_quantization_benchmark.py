"""The comparison of int8 with float32."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from PIL import Image
from running import run_tool

from mmdynamicvis import zoo


@pytest.fixture
def quantization(checkout, monkeypatch):
    pytest.importorskip('onnxruntime.quantization')
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    return importlib.import_module('quantization')


def test_the_difference_is_of_the_same_images(quantization):
    first = np.array([True] * 90 + [False] * 10)
    assert quantization.difference(first, first) == (0, 0)
    second = first.copy()
    second[:4] = False
    mean, half = quantization.difference(first, second)
    assert mean == pytest.approx(-4)
    assert half == pytest.approx(100 * 1.96 * np.sqrt(0.04 * 0.96 / 100))


def test_ratios_of_times_hardly_depend_on_how_busy_the_machine_is(quantization):
    busy = np.random.default_rng(0).uniform(1, 5, 30)
    noise = np.random.default_rng(1).normal(1, 0.02, 30)
    mean, low, high = quantization.ratio(list(0.5 * busy * noise), list(busy))
    assert 0.48 < low < mean < high < 0.52


@pytest.mark.exhaustive
def test_from_end_to_end(checkout, tmp_path):
    classes = zoo.find('dynamicvis_tiny_1xb64-60e_eurosat-64px').classes
    for number, name in enumerate(classes):
        (tmp_path / name).mkdir()
        pixels = np.full((64, 64, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / 'a.jpg')
    names = [f'{name}/a.jpg' for name in classes]
    (tmp_path / 'test.txt').write_text('\n'.join(names))
    options = ('--rounds', 2, '--every', 2, '--out', tmp_path / 'a.json')
    done = run_tool(checkout / 'tools/benchmark/quantization.py', tmp_path, *options)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / 'a.json').read_text())['rows']
    assert [row['kind'] for row in rows] == ['float32', 'int8']
    assert all(row['images'] == 5 for row in rows)
    assert rows[1]['megabytes'] < rows[0]['megabytes']
