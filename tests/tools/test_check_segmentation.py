"""The check of downloaded segmentation datasets, on tiny ones in the published layouts."""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np
import pytest
import rasterio
from PIL import Image

from ..segmentation.makers import write_massachusetts_roads, write_whu_building

MAKERS = dict(massachusetts_roads=write_massachusetts_roads, whu_building=write_whu_building)


@pytest.fixture(scope='module')
def check(checkout):
    """The tool in this process: importing hosts takes a fresh one seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout / 'tools/prepare_data')
        tool = import_module('check_segmentation')
        del sys.modules['check_segmentation']

    def check(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', ['check_segmentation.py', *map(str, arguments)])
            tool.main()

    return check


@pytest.mark.parametrize(
    ('name', 'line'),
    [
        (
            'massachusetts_roads',
            'valid: 2 images (14 published), 0 without target, which has 17.36%',
        ),
        ('whu_building', 'test: 2 images (2416 published), 0 without target, which has 17.36%'),
    ],
)
def test_counts(check, tmp_path, capsys, name, line):
    MAKERS[name](tmp_path)
    check(name, tmp_path, '--decode')
    printed = capsys.readouterr().out.splitlines()
    assert sum('images (' in printed_line for printed_line in printed) == 3
    assert any(printed_line.startswith(line) for printed_line in printed)


def test_some_splits_only(check, tmp_path, capsys):
    write_whu_building(tmp_path)
    check('whu_building', tmp_path, '--splits', 'val')
    printed = capsys.readouterr().out
    assert 'val: 2 images' in printed
    assert 'train' not in printed
    with pytest.raises(SystemExit):
        check('whu_building', tmp_path, '--splits', 'valid')
    assert '--splits has valid; whu_building has train, val, test' in capsys.readouterr().err


def test_images_and_masks_belong_together(check, tmp_path):
    write_whu_building(tmp_path)
    image = tmp_path / 'val/image/1.tif'
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(ValueError, match=r'val/label/1\.tif has no image'):
        check('whu_building', tmp_path)
    image.write_bytes(content)
    (tmp_path / 'val/label/1.tif').unlink()
    with pytest.raises(ValueError, match=r'val/label/1\.tif does not exist'):
        check('whu_building', tmp_path)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_masks_of_other_places_are_named(check, tmp_path):
    write_massachusetts_roads(tmp_path)
    folder = tmp_path / 'valid'
    for name, left in (('sat/0.tiff', 5e5), ('map/0.tif', 5e5 + 20), ('sat/1.tiff', 5e5)):
        with rasterio.open(folder / name, 'r+') as file:
            file.transform = rasterio.transform.from_origin(left, 53e5, 1, 1)
    with pytest.raises(ValueError, match=r'1 problem\n.*map/0\.tif is shifted by 20\.0 pixels'):
        check('massachusetts_roads', tmp_path)


def test_all_wrong_files_are_named(check, tmp_path):
    write_massachusetts_roads(tmp_path, images=3)
    folder = tmp_path / 'valid'
    Image.fromarray(np.full((72, 72), 254, np.uint8)).save(folder / 'map/0.tif')
    Image.fromarray(np.zeros((72, 70), np.uint8)).save(folder / 'map/1.tif')
    image = folder / 'sat/2.tiff'
    image.write_bytes(image.read_bytes()[:3000])
    with pytest.raises(ValueError, match='valid: 3 problems') as error:
        check('massachusetts_roads', tmp_path, '--decode')
    assert 'map/0.tif has the values 254, not 0 and 1' in str(error.value)
    assert 'sat/1.tiff has (72, 72) pixels, its mask (70, 72)' in str(error.value)
    assert 'cannot load image' in str(error.value)
