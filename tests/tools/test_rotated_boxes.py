"""Rotated boxes from instance masks."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmrotate.datasets import DOTADataset
from pycocotools import mask as run_lengths
from shapely.geometry import Polygon

from .detection_makers import CORNERS, write_coco


@pytest.fixture(scope='module')
def tool(checkout):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout / 'tools/prepare_data')
        yield import_module('rotated_boxes')
        for name in ('rotated_boxes', 'detection_splits', 'outputs'):
            del sys.modules[name]


def run(tool, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['rotated_boxes.py', *map(str, arguments)])
        tool.main()


def rectangle(center, size, angle):
    """Corners, (4, 2), of a rectangle."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    return half @ np.array([[cos, sin], [-sin, cos]]) + center


def iou(first, second):
    first, second = Polygon(np.reshape(first, (4, 2))), Polygon(np.reshape(second, (4, 2)))
    return first.intersection(second).area / first.union(second).area


def read_line(line):
    *corners, category, difficulty = line.split()
    return np.array(corners, float).reshape(4, 2), category, difficulty


rectangles = st.builds(
    rectangle,
    center=st.tuples(st.floats(100, 900), st.floats(100, 900)),
    size=st.tuples(st.floats(4, 180), st.floats(4, 180)),
    angle=st.floats(-np.pi, np.pi),
)


@given(corners=rectangles, shares=st.lists(st.floats(0, 1), max_size=4), order=st.randoms())
def test_a_rectangle_comes_back_at_any_angle(tool, corners, shares, order):
    """With points on its sides, and cut into two parts."""
    between = [corners[0] + share * (corners[1] - corners[0]) for share in shares]
    halves = [(corners[1] + corners[2]) / 2, (corners[3] + corners[0]) / 2]
    first = [*between, corners[0], corners[1], *halves]
    second = [halves[1], halves[0], corners[2], corners[3]]
    order.shuffle(first)
    parts = [np.ravel(first).tolist(), np.ravel(second).tolist()]
    line = tool.to_line(dict(segmentation=parts), 'ship')
    found, category, difficulty = read_line(line)
    assert (category, difficulty) == ('ship', '0')
    distances = np.linalg.norm(corners[:, None] - found, axis=2)
    assert distances.min(axis=1).max() < 0.02
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2, 3]


@given(
    corners=st.builds(
        rectangle,
        center=st.tuples(st.floats(90, 110), st.floats(90, 110)),
        size=st.tuples(st.floats(20, 100), st.floats(20, 100)),
        angle=st.floats(-np.pi, np.pi),
    )
)
def test_run_lengths_give_nearly_the_box_of_the_polygon(tool, corners):
    encoded = run_lengths.merge(run_lengths.frPyObjects([corners.ravel().tolist()], 200, 200))
    found, *_ = read_line(tool.to_line(dict(segmentation=encoded), 'ship'))
    assert iou(corners, found) > 0.85  # pixels have corners


@pytest.mark.parametrize('compressed', [True, False])
def test_run_lengths_reach_to_the_end_of_their_pixels(tool, compressed):
    mask = np.zeros((20, 30), np.uint8, order='F')
    mask[3:9, 4:20] = 1
    encoded = run_lengths.encode(mask)
    encoded = dict(size=[20, 30], counts=encoded['counts'].decode())
    if not compressed:
        runs = np.diff(np.flatnonzero(np.diff(mask.ravel('F'), prepend=0, append=0))).tolist()
        encoded['counts'] = [4 * 20 + 3, *runs, 600 - 4 * 20 - 3 - sum(runs)]
    found, *_ = read_line(tool.to_line(dict(segmentation=encoded), 'ship'))
    assert sorted(map(tuple, found)) == [(4, 3), (4, 9), (20, 3), (20, 9)]


def test_files(tool, tmp_path, capsys):
    source, target = tmp_path / 'train.json', tmp_path / 'labels/train'
    write_coco(source, tmp_path / 'imgs', ['storage_tank', 'ground track field'])
    run(tool, source, target)
    assert sorted(path.name for path in target.glob('[!.]*')) == ['0.txt', '1.txt', '2.txt']
    assert not (target / '2.txt').read_text()
    boxes = [read_line(line) for line in (target / '0.txt').read_text().splitlines()]
    assert [category for _, category, _ in boxes] == ['storage-tank', 'ground-track-field']
    assert all(iou(CORNERS, corners) > 0.99 for corners, *_ in boxes)
    assert 'ground-track-field            2' in capsys.readouterr().out
    assert list(target.parent.iterdir()) == [target]
    data = DOTADataset(
        ann_file=str(target),
        data_prefix=dict(img_path=str(tmp_path / 'imgs')),
        img_suffix='jpg',
        metainfo=dict(classes=('storage-tank', 'ground-track-field')),
    )
    assert sorted(len(sample['instances']) for sample in data) == [0, 2, 2]


def test_nothing_is_overwritten_unasked(tool, tmp_path):
    source, target = tmp_path / 'train.json', tmp_path / 'train'
    write_coco(source, tmp_path / 'imgs', ['ship'])
    target.mkdir()
    (target / 'mine.txt').touch()
    with pytest.raises(FileExistsError, match=f'{target} exist; pass --force'):
        run(tool, source, target)
    assert [path.name for path in target.iterdir()] == ['mine.txt']
    with pytest.raises(FileExistsError, match='holds files, and no'):
        run(tool, source, target, '--force')
    (target / 'mine.txt').unlink()
    run(tool, source, target, '--force')
    run(tool, source, target, '--force')
    assert sorted(path.name for path in target.glob('[!.]*')) == ['0.txt', '1.txt', '2.txt']


def change(path, **changes):
    content = json.loads(path.read_text())
    content['annotations'][0].update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(iscrowd=1), 'annotation 1, a crowd'),
        (
            dict(segmentation=[[5, 5, 10, 10, 15, 15]]),
            r'annotation 1, the corners .* enclose no area',
        ),
        (
            dict(segmentation=dict(size=[48, 64], counts=[48 * 64])),
            'annotation 1, its mask is empty',
        ),
    ],
)
def test_left_out_and_printed(tool, tmp_path, capsys, changes, message):
    source, target = tmp_path / 'train.json', tmp_path / 'train'
    write_coco(source, tmp_path / 'imgs', ['ship', 'plane'])
    change(source, **changes)
    run(tool, source, target)
    assert re.search(f'left out: {message}', capsys.readouterr().out)
    assert [read_line(line)[1] for line in (target / '0.txt').read_text().splitlines()] == ['plane']


def test_needs_masks(tool, tmp_path):
    source = tmp_path / 'train.json'
    write_coco(source, tmp_path / 'imgs', ['ship'])
    change(source, segmentation=[])
    with pytest.raises(ValueError, match=r'annotation 1 of 0\.jpg has no mask'):
        run(tool, source, tmp_path / 'train')


def test_two_images_of_one_name(tool, tmp_path):
    source = tmp_path / 'train.json'
    content = write_coco(source, tmp_path / 'imgs', ['ship'])
    content['images'][1]['file_name'] = 'other/0.png'
    source.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'0\.txt would hold two images'):
        run(tool, source, tmp_path / 'train')


@pytest.mark.shared_data
def test_real_nwpu_as_derived_before(tool, shared_data, tmp_path):
    """Boxes derived by somebody else, rounded to tenths of a pixel, of which 270 images exist."""
    nwpu = shared_data / 'nwpu_vhr10'
    ious = []
    for split in ('train', 'val'):
        run(tool, nwpu / f'annotations/NWPU_instances_{split}.json', tmp_path / split)
        for path in (nwpu / 'labelTxt_derived_minarearect' / split).glob('*.txt'):
            ours = (tmp_path / split / path.name).read_text().splitlines()
            theirs = path.read_text().splitlines()
            for first, second in zip(ours, theirs, strict=True):
                (corners, *label), (other, *other_label) = read_line(first), read_line(second)
                assert label == other_label
                ious.append(iou(corners, other))
    assert len(ious) == 871 + 743
    assert min(ious) > 0.98
    assert np.mean(ious) > 0.998
