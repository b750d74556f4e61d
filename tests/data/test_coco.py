"""What check_coco accepts, mmdet reads; what it refuses, it names."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from pycocotools import mask as pycocotools_mask

from mmdynamicvis.data.coco import check_coco, completed, run_lengths

CLASSES = ('ship', 'plane')
WIDTH, HEIGHT = 100, 80
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def annotation(number=1, **changes):
    kept = dict(id=number, image_id=3, category_id=7, bbox=[10, 10, 20, 20], area=400, iscrowd=0)
    return {**kept, 'segmentation': [SQUARE], **changes}


def coco(*annotations):
    images = [dict(id=3, file_name='a.png', width=WIDTH, height=HEIGHT)]
    categories = [dict(id=7, name='ship'), dict(id=2, name='plane')]
    return dict(images=images, categories=categories, annotations=list(annotations))


def run_length_mask(counts):
    return dict(size=[HEIGHT, WIDTH], counts=counts)


def without(entry, key):
    return {name: value for name, value in entry.items() if name != key}


def read_by_mmdet(path, classes):
    data = CocoDataset(
        ann_file=str(path),
        data_prefix=dict(img=''),
        metainfo=dict(classes=classes),
        serialize_data=False,  # it collects garbage, which takes half a second
    )
    return data[0]['instances']


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'train.json'
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(
    'fine',
    [
        annotation(),
        annotation(bbox=[-5, -5, 20, 20]),
        annotation(bbox=[90.5, 70.5, 20, 20], segmentation=[]),
        annotation(segmentation=[SQUARE, SQUARE[:6]]),
        annotation(segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, 8000]), iscrowd=1),
        # pixel 15 of column 15, and nothing more
        annotation(segmentation=dict(size=[HEIGHT, WIDTH], counts=[1215, 1, 0, 0, 6784])),
        annotation(segmentation=[]),
        without(annotation(), 'segmentation'),
    ],
)
def test_accepts(write, fine):
    check_coco(write(coco(fine)), CLASSES)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(bbox=[100, 10, 20, 20]), r'box \[100, 10, 20, 20\], outside its image of 100 x 80'),
        (dict(bbox=[10, -30, 20, 20]), r'box \[10, -30, 20, 20\], outside its image of 100 x 80'),
        (dict(bbox=[10, 10, 0, 20]), r'box \[10, 10, 0, 20\]; it is empty'),
        (dict(bbox=[10, 10, 20, -1]), r'box \[10, 10, 20, -1\]; it is empty'),
        (dict(bbox=[0.1, 0.2, 1, 0.5]), r'box \[0.1, 0.2, 1, 0.5\], from 0 to 1; .* in pixels'),
        (dict(area=0), 'area 0; it must be a positive number'),
        (dict(area=float('nan')), 'area nan'),
        (dict(area=None), 'area None'),
        (dict(iscrowd='no'), "iscrowd 'no'; it must be 0 or 1"),
        (dict(bbox=[10, 10, float('nan'), 20]), r'box \[10, 10, nan, 20\]; it must be four finite'),
        (dict(bbox=[10, float('inf'), 20, 20]), r'box \[10, inf, 20, 20\]; it must be four finite'),
        (dict(bbox=[10, 10, 20]), r'box \[10, 10, 20\]; it must be four finite'),
        (dict(bbox=[10, 10, None, 20]), r'box \[10, 10, None, 20\]; it must be four finite'),
        (dict(bbox=None), 'box None; it must be four finite'),
        (dict(category_id=1), 'category_id 1, which no category has'),
        (dict(category_id=[7]), r'category_id \[7\], which no category has'),
        (dict(segmentation=[SQUARE, SQUARE[:4]]), r'polygon \[10, 10, 30, 10\]; it must be x, y'),
        (dict(segmentation=[SQUARE[:7]]), r'polygon \[10, 10, 30, 10, 30, 30, 10\]; it must be'),
        (dict(segmentation=[[*SQUARE[:7], float('nan')]]), r'polygon .* nan\]; it must be x, y'),
        (
            dict(segmentation=dict(size=[WIDTH, HEIGHT], counts=[0, 8000])),
            r'mask of size \[100, 80\] for an image of \[80, 100\]',
        ),
        (dict(segmentation='x'), 'mask x'),
        (dict(segmentation=dict(size=None, counts=[8000])), 'mask of size None for'),
        (dict(segmentation=run_length_mask([1000, 300])), 'mask of 1300 pixels for an image of'),
        (dict(segmentation=run_length_mask([1000, 30000])), 'mask of 31000 pixels for'),
        (dict(segmentation=run_length_mask([1000, -5, 7005])), r'run lengths \[1000, -5, 7005\]'),
        (dict(segmentation=run_length_mask(None)), 'run lengths None'),
        (dict(segmentation=run_length_mask('zz~~{}|')), "run lengths that are none, 'zz~~"),
        (dict(segmentation=run_length_mask('0' * 9 + 'o')), 'run lengths that are none'),
        (dict(segmentation=run_length_mask('P' * 9 + '0')), 'run lengths that are none'),
        (dict(segmentation=run_length_mask('O')), 'negative run length -1'),
        (dict(segmentation=run_length_mask('')), 'mask of 0 pixels for an image of 8000'),
        (dict(segmentation=run_length_mask([8000])), 'mask without a pixel'),
        (dict(segmentation=[[110, 10, 130, 10, 130, 30]]), r'polygon .*, outside its box \[10,'),
        # two pixels of the first column; as many of the last; a run over two columns
        (
            dict(segmentation=run_length_mask([15, 2, 7983])),
            r'mask \[15, 2, 7983\], outside its box',
        ),
        (dict(segmentation=run_length_mask([7935, 2, 63])), 'mask .*, outside its box'),
        (dict(segmentation=run_length_mask([3199, 2, 4799])), 'mask .*, outside its box'),
        (dict(segmentation=run_length_mask([1240, 20, 6740])), 'mask .*, outside its box'),
        (dict(segmentation=[[0.1, 0.1, 0.3, 0.1, 0.3, 0.4]]), 'polygon .*, outside its box'),
    ],
)
def test_names_the_annotation_its_image_and_the_value(write, changes, message):
    path = write(coco(annotation(1), annotation(12, **changes)))
    with pytest.raises(ValueError, match=rf'annotation 12 of a\.png has .*{message}') as e:
        check_coco(path, CLASSES)
    assert f'{path}: 1 problem\n  annotation 12 of a.png has' in str(e.value)
    assert f'clean_coco.py {path} CLEANED.json' in str(e.value)


@pytest.mark.parametrize('key', ['image_id', 'category_id', 'bbox'])
def test_annotation_without_a_key(write, key):
    wrong = without(annotation(2), key)
    with pytest.raises(ValueError, match=f'annotation 2( of a.png)? lacks {key}'):
        check_coco(write(coco(annotation(1), wrong)), CLASSES)
    with pytest.raises(ValueError, match=f'annotation at position 1( of a.png)? lacks {key}'):
        check_coco(write(coco(annotation(1), without(wrong, 'id'))), CLASSES)


@pytest.mark.parametrize('image_id', [4, '3', None, [3]])
def test_annotation_of_no_image(write, image_id):
    message = re.escape(f'annotation 5 has image_id {image_id!r}, which no image has')
    with pytest.raises(ValueError, match=message):
        check_coco(write(coco(annotation(5, image_id=image_id))), CLASSES)


MASK = run_length_mask([1000, 300, 6700])


@pytest.mark.parametrize(
    ('wrong', 'problem', 'expected'),
    [
        (annotation(1, area=None, segmentation=[]), 'has the area None', dict(area=400)),
        (without(annotation(), 'area'), 'lacks area', dict(area=400)),
        (annotation(1, area=0, segmentation=[[10, 10, 30, 10, 30, 30]]), 'area 0', dict(area=200)),
        (annotation(1, area=-1, segmentation=MASK), 'area -1', dict(area=300)),
        (without(annotation(), 'iscrowd'), 'lacks iscrowd', dict(iscrowd=0)),
        (without(annotation(), 'id'), 'lacks id', dict(id=2)),
        (annotation('a1'), "has the id 'a1'; ids must be whole numbers, each once", dict(id=2)),
        (annotation([1]), r'has the id \[1\]; ids must', dict(id=2)),
        (annotation(8), 'has the id 8; ids must be whole numbers, each once', dict(id=2)),
        (annotation(1, image_id='3'), "image_id '3', which no image has", dict(image_id=3)),
        (annotation(1, category_id='7'), "category_id '7', which no", dict(category_id=7)),
    ],
)
def test_what_can_be_computed_is_refused_and_completed(write, wrong, problem, expected):
    content = coco(annotation(8), wrong)
    with pytest.raises(ValueError, match=rf'1 problem\n.*{problem}.*\n.*clean_coco\.py'):
        check_coco(write(content), CLASSES)
    before = copy.deepcopy(content)
    whole = completed(content)
    assert content == before
    assert expected.items() <= whole['annotations'][1].items()
    check_coco(write(whole), CLASSES)


def test_no_cleaning_is_advised_where_nothing_would_be_left(write):
    with pytest.raises(ValueError, match='not one annotation can be used') as error:
        check_coco(write(coco(annotation(bbox=[0.1, 0.1, 0.5, 0.5], segmentation=[]))), CLASSES)
    assert 'clean_coco' not in str(error.value)


def test_boxes_that_are_corners(write):
    corners = [annotation(i, bbox=[50, 40, 60 + i, 50], segmentation=[]) for i in range(12)]
    with pytest.raises(ValueError, match=r'boxes, as \[50, 40, 60, 50\], are two corners'):
        check_coco(write(coco(*corners)), CLASSES)
    # one that does not fit as corners shows that they are none
    check_coco(
        write(coco(*corners, annotation(12, bbox=[50, 40, 20, 20], segmentation=[]))), CLASSES
    )


counts = st.lists(st.integers(0, 10**6), min_size=1)


@given(counts=counts)
def test_run_lengths_are_those_that_pycocotools_compresses(counts):
    mask = pycocotools_mask.frPyObjects(dict(size=[1, sum(counts)], counts=counts), 1, sum(counts))
    assert run_lengths(mask['counts'].decode()) == counts


def test_masks_on_demand(write):
    path = write(coco(annotation(1), annotation(5, segmentation=[])))
    check_coco(path, CLASSES)
    with pytest.raises(ValueError, match=r'annotation 5 of a\.png has no mask\n.* --masks'):
        check_coco(path, CLASSES, masks=True)


def test_many_problems_are_counted_and_ten_are_shown(write):
    path = write(coco(*(annotation(i, bbox=[0, 0, 0, 0]) for i in range(34))))
    with pytest.raises(ValueError, match='34 problems, the first 10 are') as error:
        check_coco(path, CLASSES)
    assert re.findall(r'annotation (\d+) of', str(error.value)) == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (
            ('plane', 'ship'),
            r"\['plane', 'ship'\] are not in the order of its .*\['ship', 'plane'\]",
        ),
        (('ship', 'ship'), r"\['ship', 'ship'\] are not in the order"),
        (('ship', 'car'), r"classes \['car'\] are none of its categories \['ship', 'plane'\]"),
        ((), r'classes \[\] are none of its categories'),
    ],
)
def test_classes_that_would_give_other_labels(write, classes, message):
    with pytest.raises(ValueError, match=message):
        check_coco(write(coco(annotation())), classes)


def test_mmdet_numbers_classes_in_the_order_of_the_file(write):
    """Why the order is checked; if this fails, mmdet has changed and the check may go."""
    instances = read_by_mmdet(write(coco(annotation())), classes=('plane', 'ship'))
    assert [instance['bbox_label'] for instance in instances] == [0]  # a ship


def test_some_of_the_categories_will_do(write):
    check_coco(write(coco(annotation())), ('plane',))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('categories'), 'not in COCO format: it needs lists of images, categories'),
        (lambda c: c.update(images={}), 'not in COCO format'),
        (lambda c: c['images'][0].pop('width'), r'images\[0\] lacks width'),
        (lambda c: c['images'].append(c['images'][0]), r'images\[1\] has the id 3 of another'),
        (lambda c: c['images'][0].update(height=0), r'images\[0\] has the size 100 x 0'),
        (lambda c: c['images'][0].update(height=None), r'images\[0\] has the size 100 x None'),
        (lambda c: c['categories'][1].pop('name'), r'categories\[1\] lacks name'),
        (lambda c: c['categories'][1].update(id=7), r'categories\[1\] has the id 7 of another'),
        (lambda c: c['categories'][1].update(name='ship'), r'\[1\] has the name ship of another'),
        (lambda c: c['images'].append({**c['images'][0], 'id': 4}), 'has the file_name a.png of'),
        (lambda c: c['images'][0].update(id=[3]), r'images\[0\] has the id \[3\]; it must be'),
        (
            lambda c: c['images'][0].update(file_name=3),
            r'images\[0\] has the file_name 3; .* a text',
        ),
        (lambda c: c['images'].append('a.png'), r'images\[1\] is a\.png'),
    ],
)
def test_not_coco(write, change, message):
    content = copy.deepcopy(coco(annotation()))
    change(content)
    path = write(content)
    with pytest.raises(ValueError, match=message) as error:
        check_coco(path, CLASSES)
    assert str(path) in str(error.value)


def test_not_json(tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_text('a.png,3,4')
    with pytest.raises(ValueError, match=r'labels\.csv is not json'):
        check_coco(path, CLASSES)


def test_a_list_is_not_coco(write):
    with pytest.raises(ValueError, match='not in COCO format'):
        check_coco(write([annotation()]), CLASSES)


quarters = st.integers(-600, 600).map(lambda number: number / 4)


@given(box=st.tuples(quarters, quarters, quarters, quarters), area=st.sampled_from([-1, 0, 0.5, 9]))
def test_what_is_accepted_is_what_mmdet_reads(tmp_path_factory, box, area):
    path = tmp_path_factory.mktemp('coco') / 'train.json'
    path.write_text(json.dumps(coco(annotation(bbox=box, area=area, segmentation=[]))))
    read = read_by_mmdet(path, CLASSES)
    try:
        check_coco(path, CLASSES)
    except ValueError:
        assert not read
    else:
        # mmdet leaves out boxes narrower than a pixel, too
        assert bool(read) == (min(box[2:]) >= 1)


@pytest.mark.shared_data
def test_real_files_pass(shared_data):
    nwpu = shared_data / 'nwpu_vhr10/annotations'
    categories = json.loads((nwpu / 'NWPU_instances_val.json').read_text())['categories']
    for split in ('train', 'val'):
        classes = [category['name'] for category in categories]
        check_coco(nwpu / f'NWPU_instances_{split}.json', classes, masks=True)
        ssdd = shared_data / f'ssdd/annotations/SSDD_instances_{split}.json'
        check_coco(ssdd, ['ship'], masks=True)
