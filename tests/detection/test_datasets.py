from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from overfitting import overfit

from mmdynamicvis.detection import LevirShipDetDataset, NWPUInsSegDataset, SSDDInsSegDataset

from ..tools.detection_makers import write_coco

CLASSES = NWPUInsSegDataset.METAINFO['classes']
FCOS = 'configs/detection/fcos_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'


@pytest.fixture
def nwpu(tmp_path) -> dict:
    """Write made images of NWPU VHR-10; return where they are."""
    write_coco(tmp_path / 'annotations.json', tmp_path / 'imgs', list(CLASSES))
    return dict(data_root=str(tmp_path), ann_file='annotations.json', data_prefix=dict(img='imgs'))


def change(where: dict, **values: object) -> None:
    """Change the first annotation."""
    path = Path(where['data_root']) / where['ann_file']
    content = json.loads(path.read_text())
    content['annotations'][0].update(values)
    path.write_text(json.dumps(content))


def test_labels_are_those_of_the_classes(nwpu):
    dataset = NWPUInsSegDataset(**nwpu, pipeline=[])
    assert len(dataset) == 3  # the last without objects
    labels = [instance['bbox_label'] for instance in dataset.get_data_info(0)['instances']]
    assert labels == list(range(len(CLASSES)))
    assert dataset.metainfo['classes'] == CLASSES
    assert len(set(dataset.metainfo['palette'])) == len(CLASSES)


def test_classes_in_another_order_are_refused(nwpu):
    metainfo = dict(classes=CLASSES[::-1])
    with pytest.raises(ValueError, match='not in the order of its categories'):
        NWPUInsSegDataset(**nwpu, metainfo=metainfo, pipeline=[])


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        (dict(bbox=[100, 100, 20, 20]), 'outside its image'),
        (dict(bbox=[10, 10, 0, 20]), 'it is empty'),
        (dict(category_id=99), 'category_id 99, which no category has'),
        (dict(segmentation=[[1, 1, 9, 9]]), 'three points'),
        (dict(segmentation=[]), 'has no mask'),
    ],
)
def test_a_bad_annotation_is_named(nwpu, values, problem):
    change(nwpu, **values)
    with pytest.raises(ValueError, match=problem) as error:
        NWPUInsSegDataset(**nwpu, pipeline=[])
    assert 'annotations.json: 1 problem' in str(error.value)
    assert 'annotation 1 of 0.jpg' in str(error.value)


def test_boxes_alone_will_do_for_ships(tmp_path):
    write_coco(tmp_path / 'ships.json', tmp_path / 'imgs', ['ship'])
    where = dict(data_root=str(tmp_path), ann_file='ships.json', data_prefix=dict(img='imgs'))
    change(where, segmentation=[])
    assert len(LevirShipDetDataset(**where, pipeline=[])) == 3
    with pytest.raises(ValueError, match='has no mask'):
        SSDDInsSegDataset(**where, pipeline=[])


@pytest.mark.parametrize('test_mode', [True, False])
def test_images_that_are_not_there_are_named(nwpu, tmp_path, test_mode):
    (tmp_path / 'imgs/1.jpg').unlink()
    with pytest.raises(ValueError, match=r'annotations\.json: 1 problem\n.*imgs/1\.jpg does not'):
        NWPUInsSegDataset(**nwpu, test_mode=test_mode, pipeline=[])


def test_training_on_no_box_is_refused(nwpu):
    path = Path(nwpu['data_root']) / nwpu['ann_file']
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation['bbox'][2] = 0.5  # mmdet leaves out what is narrower than a pixel
    content['annotations'][0]['bbox'][2] = 5
    path.write_text(json.dumps(content))
    assert len(NWPUInsSegDataset(**nwpu, pipeline=[])) == 3
    filter_cfg = dict(min_size=1000)
    with pytest.raises(ValueError, match=r'annotations\.json has no valid box of the classes'):
        NWPUInsSegDataset(**nwpu, filter_cfg=filter_cfg, pipeline=[])
    content['annotations'][0]['iscrowd'] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'annotations\.json has no valid box .*airplane'):
        NWPUInsSegDataset(**nwpu, pipeline=[])
    assert len(NWPUInsSegDataset(**nwpu, test_mode=True, pipeline=[])) == 3


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ('dataset', 'name', 'images', 'instances'),
    [
        (NWPUInsSegDataset, 'nwpu_vhr10/annotations/NWPU_instances_train.json', 520, 3178),
        (NWPUInsSegDataset, 'nwpu_vhr10/annotations/NWPU_instances_val.json', 130, 743),
        (SSDDInsSegDataset, 'ssdd/annotations/SSDD_instances_train.json', 928, 2102),
        (SSDDInsSegDataset, 'ssdd/annotations/SSDD_instances_val.json', 232, 484),
    ],
)
def test_the_real_files_are_read(shared_data, dataset, name, images, instances):
    read = dataset(ann_file=str(shared_data / name), data_prefix=dict(img=''), lazy_init=True)
    data_list = read.load_data_list()  # without the images, of which a part is there
    assert len(data_list) == images
    assert sum(len(data['instances']) for data in data_list) == instances


@pytest.mark.parametrize('cut', [0, 0.5])
def test_training_names_an_image_that_cannot_be_decoded(nwpu, checkout, tmp_path, cut):
    for path in (tmp_path / 'imgs').iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: int(cut * len(content))])
    cfg = Config.fromfile(checkout / FCOS)
    evaluator = dict(ann_file=str(tmp_path / 'annotations.json'))
    with pytest.raises(OSError, match=r'cannot load image .*imgs/\d\.jpg'):
        overfit(cfg, nwpu, evaluator, tmp_path, steps=30, lr=1e-3)


def test_training_refuses_a_head_with_other_classes(nwpu, checkout, tmp_path):
    cfg = Config.fromfile(checkout / FCOS)
    cfg.model.bbox_head.num_classes = 9
    evaluator = dict(ann_file=str(tmp_path / 'annotations.json'))
    message = r'num_classes` \(9\) in FCOSHead .* `classes` 10\) in NWPUInsSegDataset'
    with pytest.raises(AssertionError, match=message):
        overfit(cfg, nwpu, evaluator, tmp_path, steps=30, lr=1e-3)
