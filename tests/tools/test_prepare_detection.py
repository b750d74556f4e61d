"""The tools that convert LEVIR-Ship, cut DOTA and clean COCO files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmrotate.datasets import DOTADataset
from PIL import Image

from mmdynamicvis.data.coco import check_coco

from .detection_makers import (
    HEIGHT,
    WIDTH,
    write_coco,
    write_dota,
    write_levir_ship_yolo,
)


@pytest.fixture(scope='module')
def run(checkout):
    """Run a tool in this process: importing hosts takes a fresh one seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout / 'tools/prepare_data')
        tools = {name: import_module(name) for name in ('clean_coco', 'dota', 'levir_ship')}
        for name in (*tools, 'detection_splits', 'outputs'):
            del sys.modules[name]

    def run(name, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
            tools[name].main()

    return run


def rows(printed):
    return [line.split() for line in printed.splitlines()]


class TestLevirShip:
    @pytest.fixture
    def source(self, tmp_path):
        write_levir_ship_yolo(tmp_path / 'yolo')
        return tmp_path / 'yolo'

    def test_converts(self, run, source, tmp_path, capsys):
        target = tmp_path / 'coco'
        run('levir_ship', source, target)
        assert rows(capsys.readouterr().out)[-1] == ['all', '2', '2', '2']
        for split in ('train', 'val', 'test'):
            ann_file = target / f'annotations/instances_{split}2017.json'
            check_coco(ann_file, ['ship'])
            data = CocoDataset(
                ann_file=str(ann_file),
                data_prefix=dict(img=str(target / f'images/{split}2017')),
                metainfo=dict(classes=('ship',)),
            )
            assert all(Path(sample['img_path']).is_file() for sample in data)
            boxes = [[instance['bbox'] for instance in sample['instances']] for sample in data]
            assert boxes[1] == []
            share = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
            first = [0.4375, 0.125, 0.5625, 0.375] * share
            second = [0.21875, 0.46875, 0.28125, 0.53125] * share
            np.testing.assert_allclose(boxes[0], [first, second], atol=1e-6)

    def test_into_its_own_folder_and_links_that_move(self, run, source, tmp_path):
        run('levir_ship', source, source)
        moved = source.rename(tmp_path / 'moved')
        assert (moved / 'images/val2017/a.png').is_file()

    def test_target_behind_a_link(self, run, source, tmp_path):
        (tmp_path / 'disk/deep/levir_ship').mkdir(parents=True)
        target = tmp_path / 'levir_ship'
        target.symlink_to(tmp_path / 'disk/deep/levir_ship')
        run('levir_ship', source, target)
        assert (target / 'images/val2017/a.png').is_file()

    def test_nothing_is_overwritten_unasked(self, run, source, tmp_path):
        target = tmp_path / 'coco'
        mine = target / 'annotations/instances_val2017.json'
        mine.parent.mkdir(parents=True)
        mine.write_text('mine')
        with pytest.raises(FileExistsError, match=r'instances_val2017\.json exist; pass --force'):
            run('levir_ship', source, target)
        assert mine.read_text() == 'mine'
        assert list(target.iterdir()) == [mine.parent]
        run('levir_ship', source, target, '--force')
        run('levir_ship', source, target, '--force')
        check_coco(mine, ['ship'])

    @pytest.mark.parametrize(
        ('line', 'message'),
        [
            ('0 0.5 0.5 0.1', r"'0 0\.5 0\.5 0\.1' is not: 0 x_center y_center width height"),
            ('1 0.5 0.5 0.1 0.1', "'1 .*' is not: 0 x_center"),
            ('', "'' is not: 0 x_center"),
            ('0 0.5 0.5 0.1 x', "could not convert string to float: 'x'"),
            ('0 0.5 0.5 0.1 0', 'a value outside 0 to 1, or an empty box'),
            ('0 256 256 20 20', 'a value outside 0 to 1'),
            ('0 0.5 nan 0.1 0.1', 'a value outside 0 to 1'),
        ],
    )
    def test_wrong_line(self, run, source, tmp_path, line, message):
        with (source / 'val/labels/a.txt').open('a') as file:
            file.write(f'{line}\n')
        with pytest.raises(ValueError, match=rf'val/labels/a\.txt, line 3: .*{message}'):
            run('levir_ship', source, tmp_path / 'coco')
        assert not (tmp_path / 'coco').exists()

    def test_other_layout(self, run, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'train/images has no \.png files; see --help'):
            run('levir_ship', tmp_path, tmp_path)

    def test_absent_labels(self, run, source, tmp_path):
        (source / 'test/labels/b.txt').unlink()
        with pytest.raises(ValueError, match=r'test: 1 problem\n  b has no labels'):
            run('levir_ship', source, tmp_path / 'coco')


class TestDOTA:
    @pytest.fixture
    def source(self, tmp_path):
        write_dota(tmp_path / 'DOTA')
        return tmp_path / 'DOTA'

    def test_cuts(self, run, source, tmp_path, capfd):
        target = tmp_path / 'split'
        run('dota', source, target, '--size', 50, '--gap', 20, '--workers', 1)
        printed = capfd.readouterr().out
        assert 'trainval: 8 tiles' in printed  # 2 x 1 of four images
        assert ['all', '8', '0'] in rows(printed)
        names = [path.name for path in (target / 'trainval').glob('*/*')]
        assert Counter(name.split('.')[1] for name in names) == dict(png=8, txt=8)
        data = DOTADataset(
            ann_file=str(target / 'trainval/annfiles'),
            data_prefix=dict(img_path=str(target / 'trainval/images')),
        )
        assert sum(len(sample['instances']) for sample in data) == 8
        lines = [path.read_text() for path in (target / 'trainval/annfiles').iterdir()]
        assert ''.join(lines).count('plane 2\n') == 2  # cut by the edge of the second tile
        assert len(list((target / 'test/images').iterdir())) == 4
        assert sorted(path.name for path in target.iterdir()) == ['test', 'trainval']

    def test_nothing_is_overwritten_unasked(self, run, source, tmp_path):
        (tmp_path / 'split/val').mkdir(parents=True)
        options = ('--parts', 'val', '--workers', 1)
        with pytest.raises(FileExistsError, match='split/val exist; pass --force'):
            run('dota', source, tmp_path / 'split', *options)
        assert not list((tmp_path / 'split/val').iterdir())
        run('dota', source, tmp_path / 'split', *options, '--force')
        assert len(list((tmp_path / 'split/val/images').iterdir())) == 2

    def test_checks_before_it_cuts(self, run, source, tmp_path):
        (source / 'val/labelTxt/valP1.txt').write_text('1 2 3 ship 0\n')
        with pytest.raises(ValueError, match=r'valP1\.txt, line 1: 5 fields instead of 10'):
            run('dota', source, tmp_path / 'split')
        assert not (tmp_path / 'split').exists()

    def test_gap_larger_than_tile(self, run, source, tmp_path, capsys):
        with pytest.raises(SystemExit):
            run('dota', source, tmp_path, '--gap', 1024)
        assert '--gap is 1024; it must lie between 0 and --size 1024' in capsys.readouterr().err

    @pytest.mark.shared_data
    def test_real_images(self, run, shared_data, tmp_path, capfd):
        (tmp_path / 'DOTA').mkdir()
        (tmp_path / 'DOTA/train').symlink_to(shared_data / 'dota')
        run('dota', tmp_path / 'DOTA', tmp_path / 'split', '--parts', 'train', '--workers', 1)
        printed = capfd.readouterr().out
        assert 'train: 5 tiles' in printed  # of 1111 x 1182 and 712 x 557 px
        assert ['ship', '1976'] in rows(printed)
        tile = next((tmp_path / 'split/train/images').glob('P1888__*.png'))
        with Image.open(tile) as image:
            assert image.size == (1024, 1024)
            assert image.getpixel((1023, 1023)) == (124, 116, 104)  # padding, the mean of R, G, B


class TestCleanCoco:
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / 'train.json'
        content = write_coco(path, tmp_path / 'imgs', ['ship', 'plane'])
        content['info'] = dict(year=2014)
        changes = [dict(bbox=[70, 0, 5, 5]), dict(segmentation=[]), dict(id=2), {}]
        for annotation, change in zip(content['annotations'], changes, strict=True):
            annotation.update(change)
        path.write_text(json.dumps(content))
        return path

    def test_leaves_out_what_the_check_refuses(self, run, source, tmp_path, capsys):
        target = tmp_path / 'clean.json'
        with pytest.raises(ValueError, match='2 problems'):
            check_coco(source, ['ship', 'plane'])
        run('clean_coco', source, target)
        check_coco(target, ['ship', 'plane'])
        before, after = json.loads(source.read_text()), json.loads(target.read_text())
        # numbered anew, as two had the same id
        kept = [{**before['annotations'][i], 'id': i + 1} for i in (1, 2, 3)]
        assert after == {**before, 'annotations': kept}
        printed = capsys.readouterr().out
        assert 'left out: annotation 1 of 0.jpg has the box [70, 0, 5, 5], outside' in printed
        assert 'completed: 1 x id\n1 of 4 annotations left out: 1 x box outside its' in printed
        assert ['plane', '2'] in rows(printed)

    def test_completes_what_can_be_computed(self, run, source, tmp_path):
        content = json.loads(source.read_text())
        for annotation in content['annotations']:
            annotation['bbox'] = [10, 10, 25, 20]
            del annotation['area'], annotation['iscrowd']
            annotation['image_id'] = str(annotation['image_id'])
        source.write_text(json.dumps(content))
        with pytest.raises(ValueError, match='4 problems'):
            check_coco(source, ['ship', 'plane'])
        run('clean_coco', source, tmp_path / 'clean.json')
        check_coco(tmp_path / 'clean.json', ['ship', 'plane'])
        after = json.loads((tmp_path / 'clean.json').read_text())['annotations']
        # polygons of 250 square pixels, but the second's, which has none
        assert [annotation['area'] for annotation in after] == [250, 500, 250, 250]
        assert [annotation['image_id'] for annotation in after] == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        ('categories', 'message'),
        [
            (
                (1, 2),
                r'all annotations would be left out, .* would be: 4 x box from 0 to 1\. Correct',
            ),
            ((2,), 'all annotations of plane would be left out, so nothing is written'),
        ],
    )
    def test_nothing_is_written_if_nothing_of_a_category_would_be_left(
        self, run, source, tmp_path, categories, message
    ):
        content = json.loads(source.read_text())
        for annotation in content['annotations']:
            if annotation['category_id'] in categories:
                annotation['bbox'] = [0.2, 0.2, 0.5, 0.5]
        source.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            run('clean_coco', source, tmp_path / 'clean.json')
        assert not (tmp_path / 'clean.json').exists()

    def test_errors_are_a_line_for_the_user(self, checkout, tmp_path):
        tool = checkout / 'tools/prepare_data/clean_coco.py'
        command = [sys.executable, str(tool), str(tmp_path / 'absent.json'), str(tmp_path / 'out')]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith('error: ')
        assert 'absent.json' in done.stderr
        assert 'Traceback' not in done.stderr

    def test_masks(self, run, source, tmp_path):
        target = tmp_path / 'clean.json'
        run('clean_coco', source, target, '--masks')
        check_coco(target, ['ship', 'plane'], masks=True)
        assert len(json.loads(target.read_text())['annotations']) == 2

    def test_nothing_is_overwritten_unasked(self, run, source):
        before = source.read_text()
        with pytest.raises(FileExistsError, match='pass --force'):
            run('clean_coco', source, source)
        assert source.read_text() == before
        with pytest.raises(ValueError, match=r'train\.json is a source'):
            run('clean_coco', source, source, '--force')
        assert source.read_text() == before
        target = source.with_name('clean.json')
        run('clean_coco', source, target)
        run('clean_coco', source, target, '--force')
        check_coco(target, ['ship', 'plane'])
        assert sorted(path.name for path in source.parent.glob('*json*')) == [
            'clean.json',
            'train.json',
        ]
