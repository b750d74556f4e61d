"""Images that LoadIntactImage takes, as mmcv does, and those that it would misread."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from mmdynamicvis.data.loading import COLOR_TYPES, LoadIntactImage

rasterio = pytest.importorskip('rasterio')

COLORS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def load(path, color_type='color', **results):
    return LoadIntactImage(color_type=color_type)(dict(img_path=str(path), **results))['img']


def save(path, mode='RGB', orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLORS).convert(mode).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ('mode', 'suffix'),
    [
        *((mode, 'png') for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA')),
        *((mode, 'jpg') for mode in ('L', 'RGB', 'CMYK')),
        ('RGBA', 'tif'),
    ],
)
@pytest.mark.parametrize('orientation', [1, 6])
def test_values_are_those_of_mmcv(tmp_path, mode, suffix, orientation):
    path = save(tmp_path / f'x.{suffix}', mode, orientation)
    for color_type in COLOR_TYPES:
        expected = mmcv.imfrombytes(path.read_bytes(), flag=color_type, backend='pillow')
        np.testing.assert_array_equal(load(path, color_type), expected)


def deep_files(folder):
    gray = np.linspace(0, 4095, 600).reshape(20, 30)
    cv2.imwrite(str(folder / 'gray16.png'), gray.astype(np.uint16))
    cv2.imwrite(str(folder / 'gray16.tif'), gray.astype(np.uint16))
    cv2.imwrite(str(folder / 'rgb16.png'), COLORS.astype(np.uint16) * 16)
    cv2.imwrite(str(folder / 'rgb16.tif'), COLORS.astype(np.uint16) * 16)
    profile = dict(driver='JP2OpenJPEG', count=3, height=20, width=30, dtype='uint16')
    with rasterio.open(folder / 'rgb16.jp2', 'w', **profile) as file:
        file.write(COLORS.astype(np.uint16).transpose(2, 0, 1) * 16)
    Image.fromarray(gray.astype(np.int32)).save(folder / 'int32.tif')
    Image.fromarray((gray / 4095).astype(np.float32)).save(folder / 'float.tif')
    (folder / 'rgb.ppm').write_bytes(b'P6 2 1 4095 ' + bytes(12))
    return sorted(folder.iterdir())


def test_more_than_8_bits_are_refused(tmp_path):
    files = deep_files(tmp_path)
    assert len(files) == 8
    for path in files:
        with pytest.raises(
            ValueError, match=rf'{path.name} has more than 8 bits per band.*GeoTIFF'
        ):
            load(path)


@pytest.mark.parametrize('suffix', ['jp2', 'j2k'])
def test_jpeg_2000_of_8_bits(tmp_path, suffix):
    Image.fromarray(COLORS).save(tmp_path / f'x.{suffix}', irreversible=False)
    np.testing.assert_array_equal(load(tmp_path / f'x.{suffix}', 'color'), COLORS[..., ::-1])


def test_a_raster_of_many_bands_is_not_called_damaged(tmp_path):
    path = tmp_path / 'bands.tif'
    profile = dict(driver='GTiff', count=8, height=20, width=30, dtype='uint8')
    with rasterio.open(path, 'w', **profile) as file:
        file.write(np.ones((8, 20, 30), np.uint8))
    with pytest.raises(OSError, match=r'bands\.tif: Pillow does not read it.*LoadGeoTIFF'):
        load(path)


def test_images_of_any_size_are_loaded(tmp_path, monkeypatch):
    path = save(tmp_path / 'x.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 200)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert load(path).shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 200


@pytest.mark.parametrize(
    'annotations',
    [dict(instances=[]), dict(seg_map_path='mask.png'), dict(height=30, width=20)],
    ids=lambda annotations: next(iter(annotations)),
)
@pytest.mark.parametrize('orientation', [3, 6])
def test_annotated_images_that_are_turned_are_refused(tmp_path, annotations, orientation):
    path = save(tmp_path / 'x.jpg', orientation=orientation)
    with pytest.raises(
        ValueError, match=rf'x\.jpg has the EXIF orientation {orientation}, .*orient'
    ):
        load(path, **annotations)
    if 'height' in annotations:
        annotations = dict(height=20, width=30)
    stored = load(path, 'color_ignore_orientation', **annotations)
    assert stored.shape == (20, 30, 3)


def test_images_of_another_size_than_annotated_are_refused(tmp_path):
    path = save(tmp_path / 'x.png')
    assert load(path, height=20, width=30).shape == (20, 30, 3)
    with pytest.raises(
        ValueError, match=r'x\.png is of 30 x 20 pixels, annotated as one of 60 x 40'
    ):
        load(path, height=40, width=60)


@pytest.mark.parametrize(
    'box', [[30, 0, 40, 20], [0, -9, 30, 0], [31, 1, 33, 1, 33, 3, 31, 3]], ids=str
)
def test_boxes_outside_their_image_are_refused(tmp_path, box):
    path = save(tmp_path / 'x.png')
    cut = dict(bbox=[29, 19, 40, 19, 40, 30, 29, 30])
    assert load(path, instances=[cut, dict(bbox=[0, 0, 30, 20])]).shape == (20, 30, 3)
    with pytest.raises(
        ValueError, match=r'x\.png is of 30 x 20 pixels, and a box of it lies outside \(.*'
    ):
        load(path, instances=[cut, dict(bbox=box)])


def test_unknown_color_type():
    with pytest.raises(ValueError, match="color_type is 'rgb'; choose color, grayscale"):
        LoadIntactImage(color_type='rgb')
