"""Masks of one class, in the encodings that are about."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdynamicvis.data.binary_masks import LoadAnnotationsToBinary

TARGET = np.zeros((6, 9), bool)
TARGET[1:3, 4:] = True


def load(path, **options):
    results = dict(seg_map_path=str(path), seg_fields=[])
    results = LoadAnnotationsToBinary(**options)(results)
    assert results['seg_fields'] == ['gt_seg_map']
    return results['gt_seg_map']


def written(array, path, mode=None):
    Image.fromarray(array, mode).save(path)
    return path


@pytest.mark.parametrize('factor', [1, 255])
def test_both_scales(tmp_path, factor):
    labels = load(written(TARGET.astype(np.uint8) * factor, tmp_path / 'mask.png'))
    assert labels.dtype == np.uint8
    assert (labels == TARGET).all()


def test_one_bit_tiff_that_only_pillow_reads(tmp_path):
    path = tmp_path / 'mask.tif'
    Image.fromarray(TARGET).convert('1').save(path, compression='group4')
    assert Image.open(path).mode == '1'
    assert (load(path) == TARGET).all()


def test_equal_channels_are_one(tmp_path):
    mask = np.repeat(TARGET[..., None].astype(np.uint8) * 255, 3, axis=2)
    assert (load(written(mask, tmp_path / 'mask.png')) == TARGET).all()


@pytest.mark.parametrize('threshold', [None, 127])
@pytest.mark.parametrize('kind', ['rgba', 'gray_alpha', 'one_bit', 'palette', 'white_is_zero'])
def test_masks_are_taken_as_they_are_shown(tmp_path, kind, threshold):
    mask = TARGET.astype(np.uint8) * 255
    opaque = np.full_like(mask, 255)
    path = tmp_path / 'mask.png'
    if kind == 'white_is_zero':
        path = tmp_path / 'mask.tif'
        Image.fromarray(mask).save(path, tiffinfo={262: 0})  # Pillow inverts it
        assert path.read_bytes().count(b'\xff' * 4)  # more of white, which is stored as 0
    elif kind == 'palette':
        image = Image.fromarray((~TARGET).astype(np.uint8))
        image.putpalette([255] * 3 + [0] * 3)
        image.save(path)
    else:
        bands = dict(rgba=[mask, mask, mask, opaque], gray_alpha=[mask, opaque], one_bit=[TARGET])
        Image.fromarray(np.dstack(bands[kind]).squeeze()).save(path)
    assert (load(path, threshold=threshold) == TARGET).all()


def test_indices_of_a_palette_with_colors_are_classes(tmp_path):
    image = Image.fromarray(TARGET.astype(np.uint8))
    image.putpalette([255, 255, 255, 200, 0, 0])
    image.save(tmp_path / 'mask.png')
    assert (load(tmp_path / 'mask.png') == TARGET).all()


def test_transparent_masks_are_refused(tmp_path):
    white = np.full(TARGET.shape, 255, np.uint8)
    path = written(np.dstack([white, white, white, TARGET * white]), tmp_path / 'mask.png')
    with pytest.raises(ValueError, match=r'mask\.png has transparent pixels'):
        load(path)


def test_masks_of_another_size_than_their_image_are_refused(tmp_path):
    path = written(TARGET.astype(np.uint8), tmp_path / 'mask.png')
    results = dict(seg_map_path=str(path), img_path='image.png', ori_shape=(6, 9))
    assert LoadAnnotationsToBinary()(dict(results))['gt_seg_map'].shape == (6, 9)
    with pytest.raises(ValueError, match=r'mask\.png is of 9 x 6 .* image\.png of 18 x 12'):
        LoadAnnotationsToBinary()(dict(results, ori_shape=(12, 18)))


def test_gray_masks_need_a_threshold(tmp_path):
    gray = np.where(TARGET, 200, 3).astype(np.uint8)
    gray[0, :2] = 127, 128
    path = written(gray, tmp_path / 'gray.png')
    with pytest.raises(ValueError, match=r'gray\.png has the values 3, 127, 128, 200, not 0 and 1'):
        load(path)
    labels = load(path, threshold=127)
    assert labels[0, :2].tolist() == [0, 1]
    assert (labels[1:] == TARGET[1:]).all()


def test_values_are_not_wrapped(tmp_path):
    """256 is 0 in 8 bits."""
    path = written(TARGET.astype(np.uint16) * 256, tmp_path / 'deep.png')
    with pytest.raises(ValueError, match=r'deep\.png has the values 0, 256'):
        load(path)


def test_many_values_are_counted(tmp_path):
    path = written(np.arange(54, dtype=np.uint8).reshape(6, 9), tmp_path / 'mask.png')
    with pytest.raises(ValueError, match=r'0, 1, .*, 7 and 46 more'):
        load(path)


def test_colors_are_refused(tmp_path):
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[0, 0, 1] = 255
    with pytest.raises(ValueError, match=r'mask\.png is colored'):
        load(written(mask, tmp_path / 'mask.png'))


@pytest.mark.parametrize('content', [None, b'', b'half'])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / 'mask.png'
    if content is not None:
        noise = np.random.default_rng(0).integers(0, 2, (64, 64), dtype=np.uint8)
        written(noise, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content else content)
    with pytest.raises(OSError, match=r'cannot load mask .*mask\.png'):
        load(path)


def test_an_image_without_mask_passes():
    assert LoadAnnotationsToBinary()(dict(img_path='a.png')) == dict(img_path='a.png')


@pytest.mark.shared_data
def test_real_masks(shared_data):
    label = load(shared_data / 'whu_building/train/label/1.tif')
    assert (label.shape, label.sum()) == ((512, 512), 5333)
    roads = load(shared_data / 'massachusetts_roads/masks/7.png')
    assert roads.mean() == pytest.approx(0.095, abs=1e-3)
    with pytest.raises(ValueError, match='0, 1, 254, 255'):
        load(shared_data / 'massachusetts_roads/labels_jpg_original/7.jpg')
