"""Label maps of xBD, drawn from made polygons."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from change_detection.disasters import make_disaster, write_disasters, write_labels
from PIL import Image
from running import run_tool

pytest.importorskip('shapely')


def run(checkout: Path, root: Path, *options: str) -> subprocess.CompletedProcess:
    tool = checkout / 'tools/prepare_data/xbd.py'
    return run_tool(tool, root / 'labels', root / 'targets', *options)


def read(root: Path, name: str) -> np.ndarray:
    image = Image.open(root / f'targets/{name}_target.png')
    assert image.mode == 'L'
    return np.asarray(image)


def test_buildings_and_their_damage(checkout, tmp_path):
    write_disasters(tmp_path, ['flood_00000000', 'fire_00000007'])
    result = run(checkout, tmp_path)
    assert result.returncode == 0, result.stderr
    assert '2 pairs: 8 buildings, 2 no-damage, 2 minor-damage, 2 major-damage' in result.stdout
    for seed, name in enumerate(('flood_00000000', 'fire_00000007')):
        expected = np.zeros((64, 64), np.uint8)
        for left, top, right, bottom, level in make_disaster(64, seed)[2]:
            expected[top : bottom + 1, left : right + 1] = level
        np.testing.assert_array_equal(read(tmp_path, f'{name}_post_disaster'), expected)
        np.testing.assert_array_equal(read(tmp_path, f'{name}_pre_disaster'), expected > 0)


def test_courtyards_parts_and_what_is_not_classified(checkout, tmp_path):
    square = '(1 1, 9 1, 9 9, 1 9, 1 1)'
    court = '(3 3, 7 3, 7 7, 3 7, 3 3)'
    features = [
        (f'POLYGON ({square}, {court})', dict(subtype='destroyed')),
        (
            'MULTIPOLYGON (((12 1, 13 1, 13 2, 12 2, 12 1)), ((12 8, 13 8, 13 9, 12 9, 12 8)))',
            dict(subtype='un-classified'),
        ),
        ('POLYGON EMPTY', dict(subtype='no-damage')),
        # partly outside
        ('POLYGON ((-3 12, 2 12, 2 19, -3 19, -3 12))', dict(subtype='minor-damage')),
    ]
    for date in ('pre', 'post'):
        write_labels(tmp_path / f'labels/x_{date}_disaster.json', 16, features)
    result = run(checkout, tmp_path)
    assert result.returncode == 0, result.stderr
    labels = read(tmp_path, 'x_post_disaster')
    assert labels[1, 1] == labels[5, 2] == labels[9, 9] == 4
    assert (labels[4:7, 4:7] == 0).all()
    assert (labels[1:3, 12:14] == 255).all() and (labels[8:10, 12:14] == 255).all()
    assert labels[5, 12] == 0
    assert (labels[12:, :3] == 2).all()
    np.testing.assert_array_equal(read(tmp_path, 'x_pre_disaster'), labels > 0)


def test_published_targets_are_kept_and_own_ones_replaced(checkout, tmp_path):
    write_disasters(tmp_path, ['x'])
    (tmp_path / 'targets').mkdir()
    (tmp_path / 'targets/x_pre_disaster_target.png').touch()
    result = run(checkout, tmp_path, '--force')
    assert result.returncode == 1
    assert 'holds files, and no' in result.stderr
    (tmp_path / 'targets/x_pre_disaster_target.png').unlink()
    for _ in range(2):
        assert run(checkout, tmp_path, '--force').returncode == 0
    assert 'pass --force' in run(checkout, tmp_path).stderr


@pytest.mark.parametrize(
    ('features', 'message'),
    [
        ([('POINT (1 2)', dict(subtype='destroyed'))], "geometries ['Point']; known are polygons"),
        ([('POLYGON ((1 2', dict(subtype='destroyed'))], 'is not a label file of xBD'),
        ([('POLYGON EMPTY', dict(subtype='burnt'))], "subtypes ['burnt']; known are polygons and"),
        ([('POLYGON EMPTY', {})], "lacks 'subtype'"),
    ],
)
def test_labels_that_cannot_be_read(checkout, tmp_path, features, message):
    write_disasters(tmp_path, ['x'])
    write_labels(tmp_path / 'labels/x_post_disaster.json', 16, features)
    result = run(checkout, tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert 'x_post_disaster.json' in result.stderr
    assert not (tmp_path / 'targets').exists()


def test_files_that_are_missing_or_cut_off(checkout, tmp_path):
    (tmp_path / 'labels').mkdir()
    assert 'has no *_pre_disaster.json' in run(checkout, tmp_path).stderr
    write_disasters(tmp_path, ['x'])
    path = tmp_path / 'labels/x_pre_disaster.json'
    text = path.read_text()
    path.write_text(text[:-20])
    assert 'is not a label file of xBD' in run(checkout, tmp_path).stderr
    path.unlink()
    assert 'x has no labels before the disaster' in run(checkout, tmp_path).stderr
