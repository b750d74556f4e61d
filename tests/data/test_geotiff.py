"""Reading GeoTIFFs of any bands, on files that are written here."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from scipy.io import netcdf_file

from mmdynamicvis.data import geotiff
from mmdynamicvis.data.geotiff import IgnoreNodata, LoadGeoTIFF

pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')


def write(path, image_CHW, **profile):
    count, height, width = image_CHW.shape
    profile = dict(dict(driver='GTiff', dtype=image_CHW.dtype), **profile)
    with rasterio.open(path, 'w', count=count, height=height, width=width, **profile) as file:
        file.write(image_CHW)
    return path


def load(path, **options):
    return LoadGeoTIFF(**options)(dict(img_path=str(path)))


@pytest.fixture
def image():
    """Five bands, (5, 6, 7)."""
    return np.random.default_rng(0).integers(1, 200, (5, 6, 7)).astype(np.uint16)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'float32', 'float64'])
def test_values_and_shapes(tmp_path, image, dtype):
    image = image.astype(dtype)
    results = load(write(tmp_path / 'a.tif', image))
    assert results['img'].dtype == np.float32
    assert results['img'].flags.c_contiguous
    assert (results['img'] == image.transpose(1, 2, 0)).all()
    assert results['img_shape'] == results['ori_shape'] == (6, 7)
    assert not results['nodata'].any()


def test_bands_in_the_given_order(tmp_path, image):
    results = load(write(tmp_path / 'a.tif', image), bands=[4, 1])
    assert (results['img'] == image[[3, 0]].transpose(1, 2, 0)).all()


def test_nodata_of_the_file(tmp_path, image):
    image[:, 0, 0] = 999
    image[2, 1, 1] = 999
    path = write(tmp_path / 'a.tif', image, nodata=999)
    fill = [1.0, 2.0, 3.0, 4.0, 5.0]
    results = load(path, nodata_fill=fill)
    assert np.argwhere(results['nodata']).tolist() == [[0, 0], [1, 1]]
    assert results['img'][0, 0].tolist() == results['img'][1, 1].tolist() == fill
    results = load(path, nodata_where='all')
    assert np.argwhere(results['nodata']).tolist() == [[0, 0]]
    assert results['img'][1, 1, 2] == 999


def test_nodata_that_the_file_does_not_tell(tmp_path, image):
    image[1, 3, 4] = 250
    results = load(write(tmp_path / 'a.tif', image), nodata=250)
    assert np.argwhere(results['nodata']).tolist() == [[3, 4]]


def test_only_chosen_bands_count(tmp_path, image):
    image[1, 3, 4] = 999
    path = write(tmp_path / 'a.tif', image, nodata=999)
    assert not load(path, bands=[1, 3])['nodata'].any()


def test_alpha_is_a_mask_unless_it_is_an_input(tmp_path, image):
    rgba = image[:4].astype(np.uint8)
    rgba[3] = 255
    rgba[3, 2, 5] = 0
    path = write(tmp_path / 'a.tif', rgba, photometric='RGB', alpha='YES')
    assert np.argwhere(load(path, bands=[1, 2, 3])['nodata']).tolist() == [[2, 5]]
    assert not load(path)['nodata'].any()
    assert not load(path, bands=[1, 2, 3], alpha='band')['nodata'].any()


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_near_infrared_that_is_called_alpha(tmp_path, image, dtype):
    """Where it is 0, there is water."""
    image[3, 2, 5] = 0
    path = write(tmp_path / 'a.tif', image[:4].astype(dtype), photometric='RGB', alpha='YES')
    with pytest.raises(ValueError, match=r'a\.tif calls band 4 alpha, but it has values from \d+'):
        load(path, bands=[1, 2, 3])
    assert not load(path, bands=[1, 2, 3], alpha='band')['nodata'].any()
    nodata = load(path, bands=[1, 2, 3], alpha='mask')['nodata']
    assert np.argwhere(nodata).tolist() == [[2, 5]]
    image[3, image[3] > 0] = 120  # no number of a mask
    path = write(tmp_path / 'b.tif', image[:4].astype(dtype), photometric='RGB', alpha='YES')
    with pytest.raises(ValueError, match='values from 120 to 120 besides 0'):
        load(path, bands=[1, 2, 3])


@pytest.mark.parametrize('count', [3, 5])
def test_colors_by_their_names(tmp_path, image, count):
    kinds = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, *[ColorInterp.undefined] * 2]
    path = write(tmp_path / 'a.tif', image[:count], photometric='MINISBLACK')
    order = ('blue', 'green', 'red', 2)
    assert (load(path, bands=order)['img'] == image[[2, 1, 0, 1]].transpose(1, 2, 0)).all()
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = kinds[:count]
    assert (load(path, bands=order)['img'] == image[[0, 1, 2, 1]].transpose(1, 2, 0)).all()
    expected = image[[2, 1, 0]] if count == 3 else image
    assert (load(path)['img'] == expected.transpose(1, 2, 0)).all()
    assert (load(path, bands=[1])['img'] == image[[0]].transpose(1, 2, 0)).all()


@pytest.mark.parametrize('dtype', ['complex64', 'complex128', 'complex_int16'])
def test_complex_numbers_are_refused(tmp_path, image, dtype):
    profile = dict(driver='GTiff', count=1, height=6, width=7, dtype=dtype)
    with rasterio.open(tmp_path / 'a.tif', 'w', **profile) as file:
        file.write(1j * image[:1])
    with pytest.raises(ValueError, match=rf'a\.tif has complex numbers \({dtype}\)'):
        load(tmp_path / 'a.tif')


def test_palettes_are_refused(tmp_path, image):
    path = write(tmp_path / 'a.tif', image[:1].astype(np.uint8))
    with rasterio.open(path, 'r+') as file:
        file.write_colormap(1, {1: (20, 20, 20, 255)})
    with pytest.raises(ValueError, match=r'a\.tif has a palette: .* gdal_translate -expand rgb'):
        load(path, bands=[1, 1, 1])


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_white_as_zero_is_refused(tmp_path, image, dtype):
    path = write(tmp_path / 'a.tif', image[:1].astype(dtype), photometric='MINISWHITE')
    with pytest.raises(ValueError, match='stores white as zero'):
        load(path)


def test_few_bits_are_no_8_bits(tmp_path, image):
    path = write(tmp_path / 'a.tif', image[:3].astype('uint8') // 16, nbits=4)
    with pytest.raises(ValueError, match=r'4 bits per band, 0 to 15.*-scale 0 15 0 255'):
        load(path, dtype='uint8')
    assert load(path)['img'].max() <= 15
    path = write(tmp_path / 'b.tif', image[:1], nbits=12)
    assert not load(path, dtype='uint16')['nodata'].any()


@pytest.mark.parametrize('dtype', ['int32', 'uint32', 'int64', 'uint64'])
def test_integers_that_float32_rounds(tmp_path, image, dtype):
    image = image.astype(dtype)
    image[0, 0, 0] = 2**24
    path = write(tmp_path / 'a.tif', image)
    assert load(path)['img'].max() == 2**24
    image[1, 3, 4] = 2**24 + 1
    write(path, image)
    with pytest.raises(ValueError, match=r'a\.tif has integers from \d+ to 16777217'):
        load(path)
    assert load(path, nodata=2**24 + 1)['nodata'].sum() == 1


def test_containers_name_their_rasters(tmp_path):
    with netcdf_file(tmp_path / 'a.nc', 'w') as file:
        for name in 'xy':
            file.createDimension(name, 8)
        for name in ('red', 'green'):
            file.createVariable(name, 'f4', ('y', 'x'))[:] = 1
    with pytest.raises(
        ValueError, match=r'a\.nc is not one raster, but has 2 of them\. .*netcdf:.*:green'
    ):
        load(tmp_path / 'a.nc', bands=[3, 2, 1])


def test_reference_system(tmp_path, image):
    assert load(write(tmp_path / 'a.tif', image))['crs'] is None
    place = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, 10, 10))
    assert load(write(tmp_path / 'b.tif', image, **place))['crs'] == 'EPSG:32630'


def test_numbers_that_are_not_finite(tmp_path, image):
    image = image.astype(np.float32)
    image[0, 0, 0], image[1, 1, 1] = np.nan, np.inf
    results = load(write(tmp_path / 'a.tif', image), nodata_where='all', nodata_fill=7)
    assert np.argwhere(results['nodata']).tolist() == [[0, 0], [1, 1]]
    assert (results['img'][results['nodata']] == 7).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(bands=[1, 6]), r'a\.tif has 5 bands, but \[1, 6\] are requested'),
        (dict(dtype='uint8'), r'a\.tif has dtype uint16, not uint8'),
        (dict(nodata_fill=[1.0, 2.0]), 'nodata_fill has 2 values for 5 bands'),
    ],
)
def test_files_that_do_not_fit(tmp_path, image, options, message):
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path / 'a.tif', image), **options)


@pytest.mark.parametrize(
    'options',
    [
        dict(bands=[0, 1]),
        dict(bands=[]),
        dict(bands=['nir']),
        dict(nodata_where='some'),
        dict(alpha=True),
    ],
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=r'bands is|nodata_where is|alpha is'):
        LoadGeoTIFF(**options)


def test_unreadable_files_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 256, 256), dtype=np.uint8)
    path = write(tmp_path / 'a.tif', noise)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b'no image'):
        path.write_bytes(content)
        with pytest.raises(OSError, match=r'cannot load image .*a\.tif'):
            load(path)
    path.unlink()
    with pytest.raises(OSError, match=r'cannot load image .*a\.tif'):
        load(path)


def test_pixels_without_data_are_ignored():
    nodata = np.zeros((2, 3), bool)
    nodata[1, 2] = True
    results = dict(nodata=nodata, gt_seg_map=np.ones((2, 3), np.uint8))
    results = IgnoreNodata()(results)
    assert results['gt_seg_map'].tolist() == [[1, 1, 1], [1, 1, 255]]
    assert 'nodata' not in results
    assert IgnoreNodata()(dict(nodata=nodata)) == {}


def test_masks_of_another_size_are_refused():
    results = dict(
        nodata=np.zeros((2, 3), bool), gt_seg_map=np.ones((3, 3)), img_path='a', seg_map_path='b'
    )
    with pytest.raises(ValueError, match='a is of 2 x 3 pixels, its mask b of 3 x 3'):
        IgnoreNodata()(results)


@pytest.mark.shared_data
def test_real_files(shared_data):
    naip = shared_data / 'large_scenes/naip/m_4709963_se_14_1_20090818.tif'
    results = load(naip, bands=[4, 1, 2], dtype='uint8', nodata_where='all')
    assert results['img'].shape == (724, 934, 3)
    assert not results['nodata'].any()
    deep = load(shared_data / 'spacenet_solaris/sample_geotiff.tif', dtype='uint16')
    assert deep['img'].shape == (900, 900, 1)
    assert deep['img'].max() > 255


def test_scales_and_offsets_are_told_once_and_not_applied(tmp_path, image, monkeypatch):
    geotiff._tell_scales.cache_clear()
    told = []
    monkeypatch.setattr(geotiff, 'print_log', lambda message, *_: told.append(message))
    paths = [write(tmp_path / f'{name}.tif', image) for name in 'ab']
    load(paths[0])
    assert told == []
    for path in paths:
        with rasterio.open(path, 'r+') as file:
            file.scales, file.offsets = [0.5] * 5, [-100.0] * 5
        assert (load(path)['img'] == image.transpose(1, 2, 0)).all()
    (message,) = told
    assert 'scales and offsets of their bands, as (0.5, -100.0), which are not applied' in message
