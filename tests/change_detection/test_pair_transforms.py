from __future__ import annotations

import numpy as np
import pytest
from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop, RandomFlip
from PIL import Image
from scenes.scenes import placed_by_points

from mmdynamicvis.change_detection import EachDate, LoadPair
from mmdynamicvis.registry import TRANSFORMS

from .pairs import make_pair, write_pairs

rasterio = pytest.importorskip('rasterio')


@pytest.fixture
def results(tmp_path) -> dict:
    write_pairs(tmp_path, ['x'], (40, 48))
    return dict(
        img_path=f'{tmp_path}/A/x.png',
        img_path2=f'{tmp_path}/B/x.png',
        seg_map_path=f'{tmp_path}/label/x.png',
    )


def test_pair_is_stacked_in_the_order_of_time(results):
    before, after, _ = make_pair((40, 48), 0)
    loaded = LoadPair()(results)
    # B, G, R, as all of OpenMMLab loads
    np.testing.assert_array_equal(loaded['img'][..., :3], before[..., ::-1])
    np.testing.assert_array_equal(loaded['img'][..., 3:], after[..., ::-1])
    assert loaded['img_shape'] == loaded['ori_shape'] == (40, 48)
    assert loaded['img_path'] == results['img_path']


def test_three_dates_are_stacked_too(results):
    transform = LoadPair(keys=('img_path', 'img_path2', 'img_path'))
    assert transform(results)['img'].shape == (40, 48, 9)


def test_hosts_transforms_move_both_dates_and_the_mask_alike(results):
    steps = [
        LoadPair(),
        TRANSFORMS.build(dict(type='mmdynamicvis.LoadAnnotationsToBinary')),
        TRANSFORMS.build(dict(type='mmseg.Resize', scale_factor=2.0, interpolation='nearest')),
        RandomCrop((32, 32)),
        RandomFlip(prob=1.0, direction='vertical'),
        PackSegInputs(),
    ]
    for step in steps:
        results = step(results)
    image, mask = results['inputs'], results['data_samples'].gt_sem_seg.data[0].bool()
    assert image.shape == (6, 32, 32)
    changed = (image[:3] != image[3:]).any(0)
    assert (changed == mask).all()


def test_colors_change_apart(results):
    loaded = LoadPair()(dict(results, img_path2=results['img_path']))
    before = loaded['img'].copy()
    np.random.seed(1)
    changed = EachDate([dict(type='mmseg.PhotoMetricDistortion')])(loaded)['img']
    assert changed.shape == before.shape
    assert changed.dtype == np.uint8
    assert (changed[..., :3] != changed[..., 3:]).any()
    np.random.seed(1)
    alone = PhotoMetricDistortion()(dict(img=before[..., :3].copy()))['img']
    np.testing.assert_array_equal(changed[..., :3], alone)


def test_each_date_needs_whole_images(results):
    with pytest.raises(ValueError, match='5 channels, and num_dates is 2'):
        EachDate([])(dict(img=np.zeros((4, 4, 5), np.uint8)))


def test_images_of_different_size_are_an_error(results):
    Image.new('RGB', (48, 41)).save(results['img_path2'])
    with pytest.raises(
        ValueError, match=r'A/x.png has the shape \(40, 48, 3\), .*B/x.png \(41, 48'
    ):
        LoadPair()(results)


def test_a_truncated_second_image_is_named(results, tmp_path):
    content = (tmp_path / 'B/x.png').read_bytes()
    (tmp_path / 'B/x.png').write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r'cannot load image .*B/x\.png'):
        LoadPair()(results)


def write_geotiff(path, image_CHW, crs='EPSG:32630', nodata=None, left=6e5):
    transform = rasterio.transform.from_origin(left, 5300000, 10, 10)
    bands, height, width = image_CHW.shape
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=height,
        width=width,
        count=bands,
        dtype=image_CHW.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(image_CHW)


@pytest.fixture
def geotiffs(tmp_path) -> dict:
    return dict(img_path=f'{tmp_path}/a.tif', img_path2=f'{tmp_path}/b.tif')


def test_pixels_without_data_at_either_date_are_ignored(geotiffs, tmp_path):
    first, second = np.full((2, 3, 8, 8), 500, np.uint16)
    first[:, 0, 0] = 0
    second[:, 5, 5] = 0
    write_geotiff(geotiffs['img_path'], first, nodata=0)
    write_geotiff(geotiffs['img_path2'], second, nodata=0)
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / 'mask.png')
    results = LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF'))(geotiffs)
    results['seg_map_path'] = f'{tmp_path}/mask.png'
    for step in ('LoadAnnotationsToBinary', 'IgnoreNodata'):
        results = TRANSFORMS.build(dict(type=f'mmdynamicvis.{step}'))(results)
    assert results['img'].shape == (8, 8, 6)
    ignored = np.argwhere(results['gt_seg_map'] == 255).tolist()
    assert ignored == [[0, 0], [5, 5]]


@pytest.mark.parametrize(
    ('bands', 'dtype', 'crs', 'message'),
    [
        (3, np.int16, 'EPSG:32630', r"has the dtypes \('uint16',.*b.tif \('int16'"),
        (3, np.uint16, 'EPSG:4326', 'has the reference system EPSG:32630, .*b.tif EPSG:4326'),
        (2, np.uint16, 'EPSG:32630', r'has the shape \(8, 8, 3\), .*b.tif \(8, 8, 2\)'),
    ],
)
def test_geotiffs_that_do_not_match_are_an_error(geotiffs, bands, dtype, crs, message):
    write_geotiff(geotiffs['img_path'], np.ones((3, 8, 8), np.uint16))
    write_geotiff(geotiffs['img_path2'], np.ones((bands, 8, 8), dtype), crs)
    with pytest.raises(ValueError, match=message):
        LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF'))(geotiffs)


def test_geotiffs_of_another_place_are_an_error(geotiffs):
    write_geotiff(geotiffs['img_path'], np.ones((3, 8, 8), np.uint16))
    write_geotiff(geotiffs['img_path2'], np.ones((3, 8, 8), np.uint16), left=6e5 + 20)
    with pytest.raises(ValueError, match=r'b\.tif is shifted by 2\.0 pixels against .*a\.tif'):
        LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF'))(geotiffs)


def test_geotiffs_of_another_offset_are_an_error(geotiffs):
    for path in geotiffs.values():
        write_geotiff(path, np.ones((3, 8, 8), np.uint16))
    with rasterio.open(geotiffs['img_path2'], 'r+') as file:
        file.offsets = [-1000.0] * 3
    with pytest.raises(ValueError, match=r'has the scales and offsets of bands .*-1000\.0'):
        LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF'))(geotiffs)
    for path in geotiffs.values():
        with rasterio.open(path, 'r+') as file:
            file.scales = [1e-4] * 3
            file.write(np.full((3, 8, 8), 5000 + (0 if file.offsets[0] else -1000), np.uint16))
    with rasterio.open(geotiffs['img_path2'], 'r+') as file:
        file.offsets = [-0.1] * 3
    image = LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF', unit='reflectance'))(geotiffs)
    assert np.allclose(image['img'], 0.4)  # of both dates


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('kind', ['gcps', 'rpcs'])
@pytest.mark.parametrize('shift', [0, 1])
def test_geotiffs_placed_by_points(geotiffs, tmp_path, kind, shift):
    placed_by_points(tmp_path / 'a.tif', kind)
    placed_by_points(tmp_path / 'b.tif', kind, shift)
    load = LoadPair(loader=dict(type='mmdynamicvis.LoadGeoTIFF'))
    if not shift:
        assert load(geotiffs)['img'].shape == (64, 64, 6)
        return
    with pytest.raises(ValueError, match=r'a\.tif and .*b\.tif are placed by points or RPCs that'):
        load(geotiffs)


@pytest.mark.parametrize(
    ('place', 'offsets', 'message'),
    [
        (dict(left=6e5 + 100), [0], r'two is shifted by 10\.0 pixels against .*one'),
        ({}, [-1000], r'one has the scales and offsets of bands .*two .*-1000'),
    ],
)
def test_folders_of_bands_that_do_not_match_are_an_error(tmp_path, place, offsets, message):
    for folder, where, stated in (('one', {}, [0]), ('two', place, offsets)):
        (tmp_path / folder).mkdir()
        path = tmp_path / f'{folder}/{folder}_B02.tif'
        write_geotiff(path, np.ones((1, 8, 8), np.uint16), **where)
        with rasterio.open(path, 'r+') as file:
            file.offsets = stated
    loader = dict(type='mmdynamicvis.LoadBandFiles', bands=['B02'])
    with pytest.raises(ValueError, match=message):
        LoadPair(loader)(dict(img_path=f'{tmp_path}/one', img_path2=f'{tmp_path}/two'))


def test_opencd_lists_paths_and_images(results):
    stacked = LoadPair()(results)['img']
    paths = [results['img_path'], results['img_path2']]
    loaded = LoadPair(keys=None)(dict(img_path=paths))
    assert loaded['img_path'] == paths
    np.testing.assert_array_equal(np.concatenate(loaded['img'], axis=-1), stacked)
    Image.new('RGB', (48, 41)).save(paths[1])
    with pytest.raises(ValueError, match=r'A/x.png has the shape \(40, 48, 3\)'):
        LoadPair(keys=None)(dict(img_path=paths))


def test_geotiffs_of_another_dtype_are_an_error(geotiffs):
    write_geotiff(geotiffs['img_path'], np.ones((3, 8, 8), np.uint16))
    write_geotiff(geotiffs['img_path2'], np.ones((3, 8, 8), np.uint8))
    loader = dict(type='mmdynamicvis.LoadGeoTIFF', dtype='uint16')
    with pytest.raises(ValueError, match=r'b\.tif has dtype uint8, not uint16'):
        LoadPair(loader=loader)(geotiffs)
