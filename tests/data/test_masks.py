"""Masks that do not belong to their image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdynamicvis.registry import TRANSFORMS

rasterio = pytest.importorskip('rasterio')
pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
HOST = dict(type='mmseg.LoadAnnotations')
PIPELINES = dict(
    binary=[dict(type='mmdynamicvis.LoadAnnotationsToBinary')],
    host=[HOST, dict(type='mmdynamicvis.CheckMask')],
    nodata=[HOST, dict(type='mmdynamicvis.IgnoreNodata')],
)


def write(path, bands=1, left=6e5, crs='EPSG:32630'):
    place = {}
    if left is not None:
        place = dict(crs=crs, transform=rasterio.transform.from_origin(left, 53e5, 10, 10))
    size = dict(height=6, width=8, count=bands)
    with rasterio.open(path, 'w', driver='GTiff', dtype='uint8', **size, **place) as file:
        file.write(np.ones((bands, 6, 8), np.uint8))
    return str(path)


def load(image, mask, pipeline):
    results = dict(img_path=image, seg_map_path=mask, reduce_zero_label=False, seg_fields=[])
    for step in (dict(type='mmdynamicvis.LoadGeoTIFF'), *PIPELINES[pipeline]):
        results = TRANSFORMS.build(step)(results)
    return results['gt_seg_map']


@pytest.mark.parametrize('pipeline', PIPELINES)
@pytest.mark.parametrize(
    ('left', 'crs', 'message'),
    [
        (6e5 + 30, 'EPSG:32630', r'mask\.tif is shifted by 3\.0 pixels against .*image\.tif'),
        (
            6e5,
            'EPSG:32631',
            r'image\.tif has the reference system EPSG:32630, .*mask\.tif EPSG',
        ),
    ],
)
def test_masks_of_another_place_are_refused(tmp_path, pipeline, left, crs, message):
    image, mask = write(tmp_path / 'image.tif', 3), write(tmp_path / 'mask.tif', 1, left, crs)
    with pytest.raises(ValueError, match=message):
        load(image, mask, pipeline)


@pytest.mark.parametrize('pipeline', PIPELINES)
@pytest.mark.parametrize(
    ('image', 'mask'),
    [
        ({}, {}),
        ({}, dict(crs=None)),
        ({}, dict(left=None)),
        (dict(left=None), {}),
        ({}, None),
    ],
    ids=['same', 'no_reference_system', 'mask_without_place', 'image_without_place', 'png'],
)
def test_masks_that_do_not_contradict_are_taken(tmp_path, pipeline, image, mask):
    image = write(tmp_path / 'image.tif', 3, **image)
    if mask is None:
        mask = str(tmp_path / 'mask.png')
        Image.new('L', (8, 6), 1).save(mask)
    else:
        mask = write(tmp_path / 'mask.tif', **mask)
    assert (load(image, mask, pipeline) == 1).all()


@pytest.mark.parametrize('pipeline', ['binary', 'host'])
def test_masks_of_another_size_are_refused(tmp_path, pipeline):
    Image.new('L', (8, 9), 1).save(tmp_path / 'mask.png')
    image = write(tmp_path / 'image.tif', 3)
    with pytest.raises(ValueError, match=r'mask\.png is of 8 x 9 pixels, its image .* of 8 x 6'):
        load(image, str(tmp_path / 'mask.png'), pipeline)


def test_without_a_mask_there_is_nothing_to_check():
    check = TRANSFORMS.build(dict(type='mmdynamicvis.CheckMask'))
    assert check(dict(ori_shape=(6, 8))) == dict(ori_shape=(6, 8))
