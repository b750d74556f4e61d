from __future__ import annotations

import json
import math

import pytest
import torch

from mmdynamicvis.detection import SizedCocoMetric

SHIPS = dict(small=(0, 32), medium=(32, 64))
FAR = (300, 300)  # where nothing is annotated


def box(width: float, height: float, x: float = 10, y: float = 10) -> list[float]:
    return [x, y, x + width, y + height]


def evaluate(annotated: list, found: list, ann_file: str | None = None, **kwargs) -> dict:
    """Return the metrics of one image, whose detections have falling scores."""
    metric = SizedCocoMetric(sizes=SHIPS, ann_file=ann_file, **kwargs)
    metric.dataset_meta = dict(classes=('ship',))
    instances = [dict(bbox=bbox, bbox_label=0, ignore_flag=int(crowd)) for bbox, crowd in annotated]
    predictions = dict(
        bboxes=torch.tensor(found, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(found)),
        labels=torch.zeros(len(found), dtype=torch.int64),
    )
    sample = dict(img_id=0, ori_shape=(512, 512), instances=instances, pred_instances=predictions)
    metric.process({}, [sample])
    metrics = metric.evaluate(size=1)
    return {name.removeprefix('coco/'): round(value, 3) for name, value in metrics.items()}


def scores(*annotated: list, found: list) -> tuple[float | None, ...]:
    """Return AP50 of all, small and medium; None where nothing is annotated."""
    metrics = evaluate([(bbox, False) for bbox in annotated], found)
    values = [metrics[name] for name in ('AP50', 'AP50_small', 'AP50_medium')]
    return tuple(None if math.isnan(value) else value for value in values)


@pytest.mark.parametrize(
    ('width', 'height', 'expected'),
    [
        (31, 31, (1, 1, None)),
        (31.9, 32, (1, 1, None)),
        (32, 32, (1, 1, 1)),  # on the bound: in both
        (32.1, 32, (1, None, 1)),
        (33, 33, (1, None, 1)),
        (63, 64, (1, None, 1)),
        (64, 64, (1, None, 1)),
        (65, 64, (1, None, None)),  # larger than both: in AP50 alone
        (100, 8, (1, 1, None)),  # long, but of little area
        (100, 12, (1, None, 1)),
    ],
)
def test_a_box_counts_where_its_size_belongs(width, height, expected):
    ship = box(width, height)
    assert scores(ship, found=[ship]) == expected


def test_missed_and_found_ships_go_to_their_own_size():
    small, medium = box(20, 20), box(50, 50, 100, 100)
    assert scores(small, medium, found=[small]) == (0.505, 1, 0)
    assert scores(small, medium, found=[medium]) == (0.505, 0, 1)
    assert scores(small, medium, found=[]) == (0, 0, 0)


def test_a_wrong_detection_counts_against_its_own_size_only():
    small, medium = box(20, 20), box(50, 50, 100, 100)
    wrong = box(10, 10, *FAR)
    assert scores(small, medium, found=[wrong, small, medium]) == (0.667, 0.5, 1)
    wrong = box(50, 50, *FAR)
    assert scores(small, medium, found=[wrong, small, medium]) == (0.667, 1, 0.5)


def test_a_hit_counts_where_the_annotation_belongs_though_the_detection_is_of_another_size():
    ship = box(31, 31)
    assert scores(ship, found=[box(34, 34)]) == (1, 1, None)


def test_half_an_overlap_is_needed():
    ship = box(20, 20)
    assert scores(ship, found=[box(20, 11)]) == (1, 1, None)
    assert scores(ship, found=[box(20, 9)]) == (0, 0, None)


def test_a_crowd_is_neither_missed_nor_a_wrong_hit():
    ship, crowd = box(20, 20), box(30, 30, 100, 100)
    annotated = [(ship, False), (crowd, True)]
    assert evaluate(annotated, [ship])['AP50_small'] == 1
    assert evaluate(annotated, [crowd, ship])['AP50_small'] == 1
    assert evaluate([(ship, False)], [crowd, ship])['AP50_small'] == 0.5


@pytest.mark.parametrize('number', [1, 0, 'a1'])
def test_the_size_is_that_of_the_box_whatever_area_and_id_a_file_gives(tmp_path, number):
    annotation = dict(
        id=number, image_id=0, category_id=1, bbox=[10, 10, 40, 40], area=50, iscrowd=0
    )
    content = dict(
        images=[dict(id=0, file_name='0.png', width=512, height=512)],
        categories=[dict(id=1, name='ship')],
        annotations=[annotation],
    )
    (tmp_path / 'ships.json').write_text(json.dumps(content))
    metrics = evaluate([], [box(40, 40)], ann_file=str(tmp_path / 'ships.json'))
    assert metrics['AP50_medium'] == 1
    assert math.isnan(metrics['AP50_small'])


@pytest.mark.parametrize('bounds', [(32, 32), (64, 32), (-1, 32)])
def test_bounds_out_of_order_are_refused(bounds):
    with pytest.raises(ValueError, match=r"sizes\['small'\] is .*the smaller first"):
        SizedCocoMetric(sizes=dict(small=bounds))


def test_a_size_may_have_no_upper_bound():
    metric = SizedCocoMetric(sizes=dict(large=(64, None)))
    assert metric.sizes['_large'] == (64, math.inf)
