"""xBD in its published layout, with targets that the tool draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image
from running import run_tool

from mmdynamicvis.change_detection import XBD

from .disasters import make_disaster, write_disasters

NAMES = ['flood_00000000', 'fire_00000007']
LOAD = [
    dict(type='mmdynamicvis.LoadPair'),
    dict(type='mmdynamicvis.LoadPairLabels'),
    dict(type='mmdynamicvis.PackLabelMaps'),
]


@pytest.fixture
def root(tmp_path, checkout) -> Path:
    pytest.importorskip('shapely')
    write_disasters(tmp_path, NAMES)
    tool = checkout / 'tools/prepare_data/xbd.py'
    result = run_tool(tool, tmp_path / 'labels', tmp_path / 'targets')
    assert result.returncode == 0, result.stderr
    return tmp_path


def build(root: Path, pipeline=LOAD, **options) -> XBD:
    init_default_scope('mmseg')
    return XBD(data_root=str(root), pipeline=pipeline, **options)


def test_pairs_and_their_labels(root):
    dataset = build(root)
    assert [Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))] == [
        f'{name}_pre_disaster.png' for name in sorted(NAMES)
    ]
    sample = dataset[1]  # the flood
    before, after, buildings = make_disaster(64, 0)
    expected = np.concatenate([before[..., ::-1], after[..., ::-1]], -1).transpose(2, 0, 1)
    np.testing.assert_array_equal(sample['inputs'].numpy(), expected)
    damage = np.zeros((1, 64, 64), int)
    for left, top, right, bottom, level in buildings:
        damage[:, top : bottom + 1, left : right + 1] = level
    labels = sample['data_samples']
    np.testing.assert_array_equal(labels.gt_damage.data.numpy(), damage)
    np.testing.assert_array_equal(labels.gt_location.data.numpy(), damage > 0)
    assert set(np.unique(damage)) == {0, 1, 2, 3, 4}
    assert dataset.metainfo['maps']['damage']['classes'][4] == 'destroyed'


def test_a_split_by_names(root):
    (root / 'val.txt').write_text('fire_00000007\n')
    dataset = build(root, ann_file='val.txt')
    assert len(dataset) == 1
    assert dataset.get_data_info(0)['labels']['damage']['path'].endswith(
        'targets/fire_00000007_post_disaster_target.png'
    )


def test_images_without_labels(root):
    images = dict(img_path='images', img_path2='images')
    sample = build(root, data_prefix=images)[0]
    assert 'gt_damage' not in sample['data_samples']


def test_files_that_are_missing_or_wrong(root):
    target = root / 'targets/fire_00000007_post_disaster_target.png'
    for value, problem in ((5, r'has the values 5; classes are 0 to 4'), (None, 'does not exist')):
        if value is None:
            target.unlink()
        else:
            Image.fromarray(np.full((64, 64), value, np.uint8)).save(target)
        with pytest.raises(ValueError, match=problem):
            build(root)[0]
    (root / 'images/flood_00000000_post_disaster.png').unlink()
    with pytest.raises(ValueError, match='flood_00000000: only the first image exists'):
        build(root)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        build(root / 'nowhere')
