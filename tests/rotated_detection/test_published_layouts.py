"""Datasets of the configs read the published layouts, and a test on DOTA writes a submission."""

from __future__ import annotations

import math
import re
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import torch
from configs.training import shrink
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrotate.registry import DATASETS
from tools.detection_makers import IN_PIXELS, RELATIVE, write_dior_r, write_hrsc2016

from mmdynamicvis.engine.launch import move_data_root


def load(checkout: Path, name: str, data_root: Path) -> Config:
    cfg = Config.fromfile(checkout / f'configs/rotated_detection/{name}.py')
    init_default_scope(cfg.default_scope)
    return move_data_root(cfg, str(data_root))


def write_hrsc2016_with_trainval(root: Path) -> None:
    write_hrsc2016(root)
    lists = [(root / f'ImageSets/{part}.txt').read_text() for part in ('train', 'val')]
    (root / 'ImageSets/trainval.txt').write_text(''.join(lists))


@pytest.mark.parametrize(
    ('data', 'write', 'classes'),
    [
        ('12e_dior-r', write_dior_r, ['airplane', 'expressway-service-area']),
        ('72e_hrsc2016', write_hrsc2016_with_trainval, ['ship']),
    ],
)
def test_a_published_layout_is_read(data, write, classes, checkout, tmp_path):
    write(tmp_path)
    name = f'oriented-rcnn_dynamicvis-base_1xb2-{data}-800px'
    cfg = load(checkout, name, tmp_path)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert (len(train), len(test)) == (2, 1)
    assert len(train.metainfo['classes']) == cfg.model.roi_head.bbox_head.num_classes
    for sample in (train[0], train[1], test[0]):
        found = sample['data_samples'].gt_instances
        assert [train.metainfo['classes'][label] for label in found.labels] == classes
        boxes_N5 = found.bboxes.tensor
        assert boxes_N5.shape == (len(classes), 5)
        assert (boxes_N5[:, 2:4] > 1).all()
        assert (boxes_N5[:, 4].abs() <= math.pi).all()
        assert max(sample['inputs'].shape[1:]) == 800


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('<mbox_w>22.4</mbox_w>', '<mbox_w>nan</mbox_w>', 'object 1: mbox_w: no finite number'),
        ('<mbox_w>22.4</mbox_w>', '<mbox_w>0</mbox_w>', r'object 1: its box is 0\.0 x 11\.2'),
        ('<mbox_w>22.4</mbox_w>', '', 'object 1: mbox_w: no finite number'),
        (
            IN_PIXELS,
            RELATIVE,
            r'object 1: its box of 0\.224 x .* is from 0 to 1',
        ),
        ('Img_SizeHeight', 'Height', 'is no label file of this dataset'),
        ('</HRSC_Image>', '', 'is no label file of this dataset'),
    ],
)
def test_wrong_labels_of_hrsc2016(checkout, tmp_path, old, new, message):
    write_hrsc2016_with_trainval(tmp_path)
    labels = tmp_path / 'FullDataSet/Annotations/100000001.xml'
    labels.write_text(labels.read_text().replace(old, new))
    cfg = load(checkout, 'oriented-rcnn_dynamicvis-base_1xb2-72e_hrsc2016-800px', tmp_path)
    with pytest.raises(ValueError, match=rf'100000001\.xml(?s:.*){message}'):
        DATASETS.build(cfg.train_dataloader.dataset)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('>airplane<', '>aeroplane<', 'object 1: the category aeroplane is none of'),
        ('>10<', '>x<', "object 1: could not convert string to float: 'x'"),
        ('>10<', '>inf<', 'object 1: the corners inf .* not finite'),
        ('<width>', '<breadth>', 'is no label file of this dataset'),
    ],
)
def test_wrong_labels_of_dior_r(checkout, tmp_path, old, new, message):
    write_dior_r(tmp_path)
    labels = tmp_path / 'Annotations/Oriented Bounding Boxes/00000.xml'
    labels.write_text(labels.read_text().replace(old, new))
    cfg = load(checkout, 'oriented-rcnn_dynamicvis-base_1xb2-12e_dior-r-800px', tmp_path)
    with pytest.raises(ValueError, match=rf'00000\.xml(?s:.*){message}'):
        DATASETS.build(cfg.train_dataloader.dataset)


@pytest.mark.parametrize(
    ('data', 'write', 'image', 'element'),
    [
        ('12e_dior-r', write_dior_r, 'JPEGImages-trainval/00000.jpg', 'object'),
        (
            '72e_hrsc2016',
            write_hrsc2016_with_trainval,
            'FullDataSet/AllImages/100000001.bmp',
            'HRSC_Object',
        ),
    ],
)
def test_absent_images_and_boxes(data, write, image, element, checkout, tmp_path):
    write(tmp_path)
    name = f'oriented-rcnn_dynamicvis-base_1xb2-{data}-800px'
    dataset = load(checkout, name, tmp_path).train_dataloader.dataset
    (tmp_path / image).rename(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match=f'{image} does not exist'):
        DATASETS.build(dataset)
    (tmp_path / 'elsewhere').rename(tmp_path / image)
    for path in tmp_path.rglob('*.xml'):
        path.write_text(re.sub(f'<{element}>.*</{element}>', '', path.read_text()))
    with pytest.raises(ValueError, match='has no valid box of the classes'):
        DATASETS.build(dataset)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize('with_tta', [False, True])
def test_a_test_on_dota_writes_a_submission(with_tta, checkout, tmp_path):
    name = 'rotated-retinanet_dynamicvis-base_1xb2-12e_dota-1024px'
    cfg = load(checkout, name, tmp_path)
    shrink(cfg)
    images = tmp_path / 'test/images'
    images.mkdir(parents=True)
    for corner in ('0___0', '0___40', '40___0'):
        tile = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        cv2.imwrite(str(images / f'P0001__64__{corner}.png'), tile)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.test_evaluator.outfile_prefix = str(tmp_path / 'task1')
    cfg.model.test_cfg.update(score_thr=0.0, nms_pre=50, max_per_img=5)
    if with_tta:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    for key in ('train', 'val'):
        cfg[f'{key}_cfg'] = cfg[f'{key}_dataloader'] = None
    cfg.val_evaluator = cfg.optim_wrapper = cfg.param_scheduler = None
    torch.manual_seed(0)
    Runner.from_cfg(cfg).test()
    with ZipFile(tmp_path / 'task1/task1.zip') as submission:
        assert len(submission.namelist()) == 15
        lines = [line.split() for n in submission.namelist() for line in submission.open(n)]
    assert lines
    for image, score, *corners in lines:
        assert image == b'P0001'
        assert 0 <= float(score) <= 1
        assert np.isfinite(np.array(corners, float)).all()
        assert len(corners) == 8
    assert len(list((tmp_path / 'work').rglob('pictures/*.png'))) == 3
