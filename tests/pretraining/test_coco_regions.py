from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mmdynamicvis.engine.seeding import SampleIndex
from mmdynamicvis.pretraining.coco_regions import CocoRegions

from .coco_makers import CLASSES, content, write_coco

PIPELINE = [
    dict(type='mmdynamicvis.LoadIntactImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.RandomResize',
        scale=(64, 64),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
        resize_type='mmdet.Resize',
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]


def build(folder, classes=CLASSES, **kwargs):
    return CocoRegions(
        data_root=str(folder),
        ann_file='annotations.json',
        data_prefix=dict(img='imgs/'),
        metainfo=dict(classes=classes),
        pipeline=PIPELINE,
        **kwargs,
    )


def signature(sample):
    return tuple(sample['inputs'].shape), float(sample['inputs'].float().sum())


def test_augmentation_follows_from_seed_epoch_and_image(tmp_path):
    def epoch(number, seed=0, order=range(6)):
        dataset = build(tmp_path, seed=seed)
        return [signature(dataset[SampleIndex(i, number)]) for i in order]

    write_coco(tmp_path, content())
    first = epoch(0)
    torch.manual_seed(99)
    np.random.seed(99)
    assert epoch(0, order=reversed(range(6))) == first[::-1]
    assert epoch(1) != first
    assert epoch(0, seed=1) != first
    # an index of another sampler does not tell the epoch, and every epoch would be the first
    dataset = build(tmp_path)
    assert [signature(dataset[i]) for i in range(6)] != [signature(dataset[i]) for i in range(6)]


def test_boxes_and_labels_are_the_files(tmp_path):
    coco = content(n_images=3)
    dataset = build(write_coco(tmp_path, coco), test_mode=True)
    for i in range(3):
        own = [a for a in coco['annotations'] if a['image_id'] == i]
        instances = dataset.get_data_info(i)['instances']
        assert [x['bbox_label'] for x in instances] == [a['category_id'] - 1 for a in own]
        expected = [[x, y, x + w, y + h] for x, y, w, h in (a['bbox'] for a in own)]
        assert [x['bbox'] for x in instances] == expected


def test_a_part_of_the_classes(tmp_path):
    dataset = build(write_coco(tmp_path, content()), classes=('b', 'd'))
    labels = {x['bbox_label'] for i in range(24) for x in dataset.get_data_info(i)['instances']}
    assert labels == {0, 1}


def test_boxes_of_held_out_classes_are_left_out_and_labels_stay(tmp_path):
    coco = content()
    write_coco(tmp_path, coco)
    dataset = build(tmp_path, held_out=['a', 'c'])
    kept = {}
    for annotation in coco['annotations']:
        if annotation['category_id'] in (2, 4):
            kept.setdefault(annotation['image_id'], []).append(annotation['category_id'] - 1)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    found = {info['img_id']: [x['bbox_label'] for x in info['instances']] for info in infos}
    assert found == kept
    assert len(found) < len(coco['images'])
    # without held-out classes nothing is left out, and images without boxes stay
    coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] != 5]
    (tmp_path / 'annotations.json').write_text(json.dumps(coco))
    assert len(build(tmp_path)) == len(coco['images'])
    assert len(build(tmp_path, held_out=['a', 'c'])) == len({*kept, 5})


@pytest.mark.parametrize(
    ('held_out', 'message'),
    [(['zebra'], r"\['zebra'\] are none; give some of the classes"), (CLASSES, 'all 4 classes')],
)
def test_wrong_held_out_classes(tmp_path, held_out, message):
    write_coco(tmp_path, content(n_images=2))
    with pytest.raises(ValueError, match=message):
        build(tmp_path, held_out=held_out)


def test_area_is_that_of_the_box_where_it_is_missing(tmp_path):
    coco = content(n_images=3)
    for annotation in coco['annotations']:
        del annotation['area'], annotation['iscrowd']
    dataset = build(write_coco(tmp_path, coco))
    found = sum(len(dataset.get_data_info(i)['instances']) for i in range(len(dataset)))
    assert found == len(coco['annotations'])


def with_image_ids(of):
    def change(coco):
        coco['annotations'][0]['image_id'] = of(coco['annotations'][0]['image_id'])
        return coco

    return change


def without(key):
    return lambda coco: {name: value for name, value in coco.items() if name != key}


def with_boxes(box):
    def change(coco):
        for annotation in coco['annotations']:
            annotation['bbox'] = box
        return coco

    return change


@pytest.mark.parametrize(
    ('change', 'classes', 'message'),
    [
        (without('annotations'), CLASSES, 'not in COCO format: it needs lists of'),
        (without('categories'), CLASSES, 'not in COCO format: it needs lists of'),
        (with_boxes([1, 2, float('nan'), 5]), CLASSES, r'annotation 0 of 0.jpg has the box.*nan'),
        (with_boxes([0.1, 0.1, 0.5, 0.5]), CLASSES, 'annotation 0 of 0.jpg .* from 0 to 1'),
        (with_image_ids(str), CLASSES, "annotation 0 has image_id '0', which no image has"),
        (with_boxes([100, 100, 20, 20]), CLASSES, 'no valid box'),
        (with_boxes([20, 20, -5, 5]), CLASSES, 'no valid box'),
        (dict, ('a', 'b', 'zebra'), 'zebra'),
        (dict, ('b', 'a', 'c', 'd'), 'in the order of its categories'),
        (dict, (), 'give metainfo.classes'),
    ],
    ids=[
        'no annotations', 'no categories', 'NaN', 'from 0 to 1', 'text id', 'outside', 'inverted',
        'unknown class', 'other order', 'no classes',
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, classes, message):
    write_coco(tmp_path, content(n_images=2))
    (tmp_path / 'annotations.json').write_text(json.dumps(change(content(n_images=2))))
    with pytest.raises(ValueError, match=message):
        build(tmp_path, classes)
