from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdynamicvis.rotated_detection import DOTATextDataset, NWPURotatedDataset, datasets

SHIP = '8 8 40 8 40 24 8 24 ship 0'
VEHICLE = '30 30 50 40 46 48 26 38 vehicle 0'


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Four images with two boxes each, in NWPU's layout."""
    (tmp_path / 'imgs').mkdir()
    for split in ('train', 'val'):
        labels = tmp_path / 'labelTxt_derived_minarearect' / split
        labels.mkdir(parents=True)
        for name in ('10', '2'):
            image = np.random.default_rng(int(name)).integers(0, 255, (64, 64, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f'imgs/{split}{name}.jpg'), image)
            (labels / f'{split}{name}.txt').write_text(f'{SHIP}\n{VEHICLE}\n')
    return tmp_path


def build_runner(checkout: Path, data_root: Path, **dataset: Any) -> Runner:
    name = 'oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py'
    cfg = Config.fromfile(checkout / 'configs/rotated_detection' / name)
    cfg.work_dir = str(data_root / 'work')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(data_root)
    cfg.train_dataloader.dataset.update(dataset)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    return Runner.from_cfg(cfg)


def test_images_are_in_the_order_of_their_names(data_root):
    dataset = NWPURotatedDataset(
        data_root=str(data_root),
        ann_file='labelTxt_derived_minarearect/train',
        data_prefix=dict(img_path='imgs'),
    )
    assert [data['img_id'] for data in dataset] == ['train10', 'train2']
    first = dataset[0]
    assert first['img_path'] == str(data_root / 'imgs/train10.jpg')
    assert [dataset.metainfo['classes'][i['bbox_label']] for i in first['instances']] == [
        'ship',
        'vehicle',
    ]


def test_images_without_a_text_file_are_named(data_root, monkeypatch):
    told = []
    monkeypatch.setattr(datasets, 'print_log', lambda message, **_: told.append(message))
    options = dict(
        data_root=str(data_root),
        ann_file='labelTxt_derived_minarearect/train',
        data_prefix=dict(img_path='imgs'),
    )
    NWPURotatedDataset(**options)
    assert told == []  # images of the other split have theirs beside it
    (data_root / 'imgs/new.jpg').touch()
    assert [data['img_id'] for data in NWPURotatedDataset(**options)] == ['train10', 'train2']
    (message,) = told
    assert 'imgs: left out, as ' in message and message.endswith(': new.jpg')


def test_a_test_set_without_labels_has_no_boxes(data_root):
    dataset = DOTATextDataset(
        data_root=str(data_root),
        data_prefix=dict(img_path='imgs'),
        img_suffix='jpg',
        test_mode=True,
    )
    assert [data['img_id'] for data in dataset] == ['train10', 'train2', 'val10', 'val2']
    assert [data['instances'] for data in dataset] == [[]] * 4


@pytest.mark.parametrize(
    ('line', 'problem'),
    [
        (SHIP.removesuffix(' 0'), '9 fields instead of 10'),
        (SHIP.replace('ship', 'canoe'), 'the category canoe is none of'),
        ('8 8 40 8 40 8 8 8 ship 0', 'enclose no area'),
    ],
)
def test_a_wrong_line_is_named_before_training(line, problem, data_root, checkout):
    path = data_root / 'labelTxt_derived_minarearect/train/train2.txt'
    path.write_text(f'{VEHICLE}\n{line}\n')
    runner = build_runner(checkout, data_root)
    with pytest.raises(ValueError, match=re.escape(f'{path}, line 2: ') + '.*' + problem):
        runner.train()


def test_images_that_are_not_there_are_named(data_root):
    with pytest.raises(ValueError, match=r'2 problems\n.*imgs/train10\.png does not exist'):
        NWPURotatedDataset(
            data_root=str(data_root),
            ann_file='labelTxt_derived_minarearect/train',
            data_prefix=dict(img_path='imgs'),
            img_suffix='png',
        )


@pytest.mark.parametrize('line', ['', SHIP.replace(' 0', ' 3')])
def test_training_on_no_box_is_refused(line, data_root):
    """Where no file has a line, or all objects are too difficult."""
    for path in (data_root / 'labelTxt_derived_minarearect/train').iterdir():
        path.write_text(line)
    where = dict(
        data_root=str(data_root),
        ann_file='labelTxt_derived_minarearect/train',
        data_prefix=dict(img_path='imgs'),
        diff_thr=2,
    )
    with pytest.raises(ValueError, match='train has no valid box of the classes'):
        NWPURotatedDataset(**where)
    assert len(NWPURotatedDataset(**where, test_mode=True)) == 2


def test_a_truncated_image_is_named(data_root, checkout):
    path = data_root / 'imgs/train10.jpg'
    path.write_bytes(path.read_bytes()[:-400])
    runner = build_runner(checkout, data_root)
    with pytest.raises(OSError, match=re.escape(str(path))):
        runner.train()


def test_classes_that_do_not_fit_the_head_are_refused(data_root, checkout):
    runner = build_runner(checkout, data_root, metainfo=dict(classes=('ship', 'vehicle')))
    with pytest.raises(AssertionError, match='num_classes'):
        runner.train()
