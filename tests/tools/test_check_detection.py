"""The check of downloaded detection datasets, on tiny ones in the published layouts."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmrotate.datasets import DIORDataset, DOTADataset, HRSCDataset
from PIL import Image

from mmdynamicvis.detection.datasets import NWPUInsSegDataset

from .detection_makers import (
    IN_PIXELS,
    RELATIVE,
    write_dior_r,
    write_dota,
    write_hrsc2016,
    write_instances,
    write_levir_ship_coco,
)

NWPU = list(NWPUInsSegDataset.METAINFO['classes'])
MAKERS = dict(
    levir_ship=write_levir_ship_coco,
    nwpu_vhr10=partial(write_instances, prefix='NWPU', classes=NWPU),
    ssdd=partial(write_instances, prefix='SSDD', classes=['ship']),
    dota=write_dota,
    dior_r=write_dior_r,
    hrsc2016=write_hrsc2016,
)


@pytest.fixture(scope='module')
def check(checkout):
    """The tool in this process: importing hosts takes a fresh one seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout / 'tools/prepare_data')
        tool = import_module('check_detection')
        for name in ('check_detection', 'detection_splits'):
            del sys.modules[name]

    def check(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', ['check_detection.py', *map(str, arguments)])
            tool.main()

    return check


@pytest.fixture
def data(tmp_path):
    def data(name):
        MAKERS[name](tmp_path / name)
        return tmp_path / name

    return data


@pytest.mark.parametrize(
    ('name', 'images', 'table'),
    [
        ('levir_ship', 'train: 3 images (2320 published), 1 without objects', 'all 2 2 2'),
        ('nwpu_vhr10', 'val: 3 images (130 published), 1 without objects', 'all 20 20'),
        ('ssdd', 'val: 3 images (232 published), 1 without objects', 'ship 2 2'),
        ('dota', 'val: 2 images (458 published), 1 without objects', 'ship 1 1 0'),
        ('dior_r', 'val: 1 images (5863 published), 0', 'expressway-service-area 1 1 1'),
        ('hrsc2016', 'test: 1 images (444 published), 0 without objects', 'ship 1 1 1'),
    ],
)
def test_counts(check, data, capsys, name, images, table):
    check(name, data(name), '--decode')
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith(images) for line in printed)
    assert table.split() in [line.split() for line in printed]


def test_hosts_read_the_made_layouts(data):
    """That the makers' layouts are those which mmrotate and mmdet read, as they are published."""
    levir, dior, hrsc = data('levir_ship'), data('dior_r'), data('hrsc2016')
    coco = CocoDataset(
        ann_file=str(levir / 'annotations/instances_val2017.json'),
        data_prefix=dict(img=str(levir / 'images/val2017')),
        metainfo=dict(classes=('ship',)),
    )
    assert [len(data['instances']) for data in coco] == [1, 1, 0]
    trainval = DIORDataset(
        data_root=str(dior),
        ann_file='ImageSets/Main/val.txt',
        data_prefix=dict(img_path='JPEGImages-trainval'),
    )
    labels = [instance['bbox_label'] for instance in trainval[0]['instances']]
    assert [DIORDataset.METAINFO['classes'][label] for label in labels] == [
        'airplane',
        'expressway-service-area',
    ]
    ships = HRSCDataset(
        data_root=str(hrsc),
        ann_file='ImageSets/test.txt',
        data_prefix=dict(sub_data_root='FullDataSet/'),
    )
    assert len(ships[0]['instances']) == 1
    with pytest.raises(ValueError, match='could not convert'):  # headers: the split tool drops them
        DOTADataset(ann_file=str(data('dota') / 'train/labelTxt'))


def test_some_splits_only(check, data, capsys):
    root = data('ssdd')
    (root / 'annotations/SSDD_instances_train.json').unlink()
    check('ssdd', root, '--splits', 'val')
    assert 'train' not in capsys.readouterr().out


def test_unknown_split(check, tmp_path, capsys):
    with pytest.raises(SystemExit):
        check('ssdd', tmp_path, '--splits', 'test')
    assert '--splits has test; ssdd has train, val' in capsys.readouterr().err


@pytest.mark.parametrize('name', list(MAKERS))
def test_empty_folder(check, tmp_path, name):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        check(name, tmp_path)


@pytest.mark.parametrize(
    ('name', 'image'),
    [
        ('levir_ship', 'images/val2017/1.png'),
        ('ssdd', 'imgs/2.jpg'),
        ('dior_r', 'JPEGImages-test/00002.jpg'),
        ('hrsc2016', 'FullDataSet/AllImages/100000003.bmp'),
    ],
)
def test_absent_image(check, data, name, image):
    root = data(name)
    (root / image).unlink()
    with pytest.raises(ValueError, match=rf'{image} is missing\n.*unpack all images'):
        check(name, root)


@pytest.mark.parametrize('name', ['levir_ship', 'ssdd'])
def test_image_of_another_size_than_annotated(check, data, name):
    root = data(name)
    path = next((root / ('images/val2017' if name == 'levir_ship' else 'imgs')).iterdir())
    with Image.open(path) as image:
        size = f'{image.width} x {image.height}'
        image.resize((11, 7)).save(path)
    with pytest.raises(ValueError, match=rf'{path.name} is of 11 x 7 pixels, .* of {size}'):
        check(name, root)


@pytest.mark.parametrize(
    ('name', 'image'), [('dior_r', 'JPEGImages-test/00002.jpg'), ('dota', 'val/images/valP1.png')]
)
def test_image_that_is_turned(check, data, name, image):
    root, exif = data(name), Image.Exif()
    exif[0x0112] = 3
    with Image.open(root / image) as content:
        content.load()
        content.save(root / image, exif=exif)
    with pytest.raises(ValueError, match=rf'{Path(image).name} has the EXIF orientation 3'):
        check(name, root)


@pytest.mark.parametrize(
    ('path', 'what'), [('images/valP1.png', 'image'), ('labelTxt/valP1.txt', 'labels')]
)
def test_dota_needs_images_and_labels(check, data, path, what):
    root = data('dota')
    (root / 'val' / path).unlink()
    with pytest.raises(ValueError, match=f'val: 1 problem\n  valP1 has no {what}'):
        check('dota', root)


def test_wrong_line_of_dota(check, data):
    root = data('dota')
    path = root / 'train/labelTxt/trainP1.txt'
    path.write_text(path.read_text().replace(' ship 1', ' ship'))
    with pytest.raises(ValueError, match=r'trainP1\.txt, line 4: 9 fields instead of 10'):
        check('dota', root)


def test_instances_need_masks(check, data):
    root = data('ssdd')
    path = root / 'annotations/SSDD_instances_val.json'
    content = json.loads(path.read_text())
    content['annotations'][1].pop('segmentation')
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'annotation 2 of 1\.jpg has no mask'):
        check('ssdd', root)


@pytest.mark.parametrize(
    ('name', 'path', 'old', 'new', 'message'),
    [
        ('dior_r', 'Oriented Bounding Boxes/00001.xml', '>airplane<', '>aeroplane<', 'aeroplane'),
        ('dior_r', 'Oriented Bounding Boxes/00001.xml', '>10<', '>x<', "string to float: 'x'"),
        ('dior_r', 'Oriented Bounding Boxes/00001.xml', 'robndbox', 'bndbox', "float: 'None'"),
        ('hrsc2016', '100000002.xml', '>22.4<', '>0<', 'its box is 0.0 x 11.2'),
        ('hrsc2016', '100000002.xml', IN_PIXELS, RELATIVE, 'box of 0.224 x .* is from 0 to 1'),
        ('hrsc2016', '100000002.xml', '>22.5<', '>x<', 'mbox_cx: no finite number'),
        ('hrsc2016', '100000002.xml', 'header_y', 'other', 'header_y: no finite number'),
    ],
)
def test_wrong_xml_is_named_by_file_and_object(check, data, name, path, old, new, message):
    root = data(name)
    (file,) = root.rglob(path)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ValueError, match=rf'{file.name}, object 1: .*{message}'):
        check(name, root)


@pytest.mark.parametrize('name', ['dior_r', 'hrsc2016'])
def test_absent_and_cut_xml(check, data, name):
    root = data(name)
    first, second, _ = sorted(root.rglob('*.xml'))
    first.write_text(first.read_text()[:50])
    with pytest.raises(ValueError, match=rf'{first.name} is not XML'):
        check(name, root)
    shutil.copy(second, first)
    second.unlink()
    with pytest.raises(ValueError, match=rf'{second.name} is missing'):
        check(name, root)


def test_decode_finds_truncated_images(check, data):
    root = data('dota')
    path = root / 'test/images/testP2.png'
    path.write_bytes(path.read_bytes()[:3000])
    check('dota', root)
    with pytest.raises(ValueError, match=r'testP2\.png: .*truncated'):
        check('dota', root, '--decode')


@pytest.mark.shared_data
def test_real_nwpu(check, shared_data, capsys):
    check('nwpu_vhr10', shared_data / 'nwpu_vhr10')
    printed = capsys.readouterr().out
    assert 'train: 520 images (520 published), 0 without objects' in printed
    assert 'val: 130 images (130 published), 0 without objects' in printed
    assert ['all', '3178', '743'] in [line.split() for line in printed.splitlines()]
