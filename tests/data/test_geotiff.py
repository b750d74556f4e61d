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


@pytest.mark.parametrize('count', [3, 4])
def test_colors_by_their_names(tmp_path, image, count):
    kinds = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, *[ColorInterp.undefined] * 2]
    path = write(tmp_path / 'a.tif', image[:count], photometric='MINISBLACK')
    order = dict(bands=('blue', 'green', 'red', 2), unit='stored')
    assert (load(path, **order)['img'] == image[[2, 1, 0, 1]].transpose(1, 2, 0)).all()
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = kinds[:count]
    assert (load(path, **order)['img'] == image[[0, 1, 2, 1]].transpose(1, 2, 0)).all()
    expected = image[[2, 1, 0]] if count == 3 else image[:count]
    assert (load(path)['img'] == expected.transpose(1, 2, 0)).all()
    assert (load(path, bands=[1])['img'] == image[[0]].transpose(1, 2, 0)).all()


def name_bands(path, names=None, tags=None, scales=None, offsets=None):
    with rasterio.open(path, 'r+') as file:
        for band, name in enumerate(names or (), 1):
            file.set_band_description(band, name)
        file.update_tags(**tags or {})
        file.scales = scales or file.scales
        file.offsets = offsets or file.offsets
    return path


def test_bands_by_their_descriptions(tmp_path, image):
    path = name_bands(write(tmp_path / 'a.tif', image), ('B8', 'B04', 'Band 3', 'B3', 'QA'))
    read = dict(sensor='sentinel2', unit='stored')
    results = load(path, bands=('red', 'green', 'B08'), **read)
    assert (results['img'] == image[[1, 3, 0]].transpose(1, 2, 0)).all()
    assert (load(path, bands=[2, 4, 1])['img'] == results['img']).all()
    message = r"a\.tif has no band 'blue'; its bands are 1: B8, 2: B04, 3: no name, .*B02 \(blue\)"
    with pytest.raises(ValueError, match=message):
        load(path, bands=('red', 'blue'), **read)
    with pytest.raises(ValueError, match=r"a\.tif has no band 'blue'; its bands are 1: B8, 2: B04"):
        load(path, bands=('blue',), unit='stored')


def test_descriptions_come_before_colors(tmp_path, image):
    """GDAL calls three or four bands of 8 bits red, green, blue and alpha."""
    image = image[:4].astype(np.uint8)
    path = write(tmp_path / 'a.tif', image, photometric='RGB', alpha='YES')
    name_bands(path, ('blue', 'green', 'red', 'nir'))
    results = load(path, bands=('nir', 'red', 'blue'), unit='uint8')
    assert (results['img'] == image[[3, 2, 0]].transpose(1, 2, 0)).all()
    path = write(tmp_path / 'b.tif', image, photometric='RGB', alpha='YES')
    with pytest.raises(
        ValueError, match=r"b\.tif has no band 'nir'; its bands are 1: red, 2: green"
    ):
        load(path, bands=('nir',), sensor='planetscope', unit='uint8')
    results = load(path, bands=('nir', 'red'), sensor='naip', unit='uint8')
    assert (results['img'] == image[[3, 0]].transpose(1, 2, 0)).all()


def test_descriptions_that_bands_share_say_nothing(tmp_path, image):
    path = name_bands(write(tmp_path / 'a.tif', image[:2].astype(np.float32)), ('bands', 'bands'))
    results = load(path, bands=('VH', 'VV'), sensor='sentinel1_db', unit='dB')
    assert (results['img'] == image[[1, 0]].transpose(1, 2, 0)).all()


@pytest.mark.parametrize(
    ('sensor', 'scale', 'offset'),
    [
        ('sentinel2', 1e-4, -0.1),
        ('sentinel2_no_offset', 1e-4, 0.0),
        ('landsat9', 2.75e-5, -0.2),
        ('planetscope', 1e-4, 0.0),
    ],
)
def test_reflectance(tmp_path, image, sensor, scale, offset):
    names = {'landsat9': ('SR_B4', 'SR_B5'), 'planetscope': ('red', 'nir')}
    image = 50 * image[:2] + 900
    image[:, 1, 2] = 0
    names = names.get(sensor, ('B04', 'B08'))
    path = name_bands(write(tmp_path / 'a.tif', image, nodata=0), names)
    options = dict(bands=('red',), sensor=sensor, unit='reflectance', nodata_fill=0.5)
    results = load(path, **options)
    expected = scale * image[0] + offset
    expected[1, 2] = 0.5  # nodata is what the file says of its numbers
    np.testing.assert_allclose(results['img'][..., 0], expected, rtol=0, atol=1e-6)
    assert np.argwhere(results['nodata']).tolist() == [[1, 2]]
    # once, also if the file states the same
    name_bands(path, scales=[scale] * 2, offsets=[offset] * 2)
    assert (load(path, **options)['img'] == results['img']).all()
    number = dict(bands=[1], nodata_fill=0.5)
    assert (load(path, **number, unit='reflectance')['img'] == results['img']).all()
    assert load(path, **number)['img'].max() == image[0].max()
    name_bands(path, scales=[scale] * 2, offsets=[offset - 0.1] * 2)
    with pytest.raises(ValueError, match=rf'a\.tif states scale and offset .*{sensor}'):
        load(path, **options)


@pytest.mark.parametrize('stored', ['linear', 'dB'])
def test_backscatter(tmp_path, stored):
    linear = np.random.default_rng(0).uniform(1e-3, 1, (2, 6, 7)).astype(np.float32)
    values = dict(linear=linear, dB=10 * np.log10(linear))
    image = values[stored].copy()
    if stored == 'linear':
        image[0, 2, 3], image[1, 0, 0] = 0, -1e-4  # border and removed noise
    path = write(tmp_path / 'a.tif', image)
    options = dict(bands=('VV', 'VH'), sensor=f'sentinel1_{stored.lower()}')
    for unit, expected in values.items():
        results = load(path, **options, unit=unit)
        converted = (stored, unit) == ('linear', 'dB')
        expected = expected if unit != stored else image
        there = ~results['nodata']
        np.testing.assert_allclose(
            results['img'][there], expected.transpose(1, 2, 0)[there], rtol=1e-5, atol=1e-5
        )
        # numbers that are not positive have no logarithm
        assert results['nodata'].sum() == (2 if converted else 0)
    with pytest.raises(ValueError, match='has integers without scale and offset'):
        load(write(tmp_path / 'b.tif', linear.astype(np.uint16)), **options, unit='dB')


def test_values_that_are_not_of_the_sensor(tmp_path, image):
    read = dict(bands=('red',), sensor='sentinel2', unit='reflectance')
    floats = write(tmp_path / 'floats.tif', np.zeros((12, 6, 7), np.float32))
    with pytest.raises(ValueError, match=r"floats\.tif has dtype float32, .*unit='stored'"):
        load(floats, **read)
    assert load(floats, bands=['red'], sensor='sentinel2', unit='stored')['img'].max() == 0
    path = name_bands(write(tmp_path / 'a.tif', image[:2]), ('B04', 'SCL'))
    with pytest.raises(ValueError, match=r"a\.tif calls band 2 'SCL', which is none of sensor"):
        load(path, **dict(read, bands=('red', 2)))
    with pytest.raises(ValueError, match=r'a\.tif has integers without scale and offset, which do'):
        load(path, bands=[1], unit='reflectance')
    with pytest.raises(ValueError, match=r'a\.tif has dtype uint16, not uint8'):
        load(path, bands=['B04'], unit='uint8')
    for baseline, sensor in (('03.01', 'sentinel2'), ('05.11', 'sentinel2_no_offset')):
        name_bands(path, tags=dict(PROCESSING_BASELINE=baseline))
        with pytest.raises(ValueError, match=rf'a\.tif is of processing baseline {baseline}'):
            load(path, **dict(read, sensor=sensor))
        other = {'sentinel2', 'sentinel2_no_offset'} - {sensor}
        load(path, **dict(read, sensor=other.pop()))


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


def test_all_sources_of_nodata_count(tmp_path, image):
    """GDAL's mask is one of them only."""
    colors = np.concatenate([image[:3], np.full((1, 6, 7), 255)]).astype(np.uint8)
    colors[:3, 0, 0], colors[3, 1] = 0, 0
    profile = dict(nodata=0, photometric='RGB', alpha='YES')
    path = write(tmp_path / 'alpha.tif', colors, **profile)
    missing = load(path, bands=[1, 2, 3])['nodata']
    assert missing[0, 0] and missing[1].all() and missing.sum() == 8
    image[:, 2, 2] = 7
    image[image == 7] = 8
    image[:, 2, 2] = 7
    path = write(tmp_path / 'mask.tif', image, nodata=7)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as file:
        file.write_mask(np.arange(6)[:, None].repeat(7, 1) > 0)
    missing = load(path)['nodata']
    assert missing[2, 2] and missing[0].all() and missing.sum() == 8


def test_colors_by_their_descriptions(tmp_path, image):
    path = write(tmp_path / 'a.tif', image[:3])
    name_bands(path, names=['blue', 'green', 'red'])
    np.testing.assert_array_equal(load(path)['img'].transpose(2, 0, 1), image[[2, 1, 0]])


def test_colors_that_a_file_contradicts(tmp_path, image):
    """Color infrared, of which only two bands are named."""
    path = write(tmp_path / 'a.tif', image[:3].astype(np.uint8))
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = (ColorInterp.undefined, ColorInterp.red, ColorInterp.green)
    with pytest.raises(
        ValueError, match=r"a\.tif has no band 'blue'; its bands are 1: no name, 2: r"
    ):
        load(path, bands=['red', 'green', 'blue'], unit='uint8')
    np.testing.assert_array_equal(load(path)['img'].transpose(2, 0, 1), image[:3])


@pytest.mark.parametrize('scales', [(0,) * 5, (np.nan,) * 5, (1e-4, 1, 1e-4, 1e-4, 1e-4)])
def test_scales_that_tell_no_reflectance(tmp_path, image, scales):
    path = write(tmp_path / 'a.tif', image)
    name_bands(path, scales=scales)
    with pytest.raises(ValueError, match='which do not tell reflectance: correct them'):
        load(path, bands=[1, 2, 3, 4, 5], unit='reflectance')


def test_decibels_are_not_taken_for_linear(tmp_path, image):
    path = write(tmp_path / 'a.tif', image[:2].astype(np.float32))
    with rasterio.open(path, 'r+') as file:
        file.units = ('dB', 'dB')
    with pytest.raises(ValueError, match="states the unit 'dB', and is read as linear"):
        load(path, bands=('VV', 'VH'), sensor='sentinel1_linear', unit='dB')


@pytest.mark.parametrize('nodata', [-9999, 70000, 0.5])
def test_nodata_that_a_file_cannot_have(tmp_path, image, nodata):
    path = write(tmp_path / 'a.tif', image)
    with pytest.raises(
        ValueError, match=rf'nodata is {nodata}, which no number of .*a\.tif can be'
    ):
        load(path, nodata=nodata)


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
    ('annotations', 'message'),
    [
        (dict(width=60, height=40), 'annotated as one of 60 x 40'),
        (dict(instances=[dict(bbox=[500, 0, 510, 5])]), 'a box of it lies outside'),
    ],
)
def test_annotations_of_another_image_are_refused(tmp_path, image, annotations, message):
    path = write(tmp_path / 'a.tif', image)
    height, width = image.shape[1:]
    fitting = dict(width=width, height=height, instances=[dict(bbox=[0, 0, width, height])])
    assert LoadGeoTIFF()(dict(img_path=str(path), **fitting))['img_shape'] == (height, width)
    with pytest.raises(ValueError, match=rf'a\.tif is of {width} x {height} pixels.*{message}'):
        LoadGeoTIFF()(dict(img_path=str(path), **annotations))


@pytest.mark.parametrize(
    'options',
    [
        dict(bands=[0, 1]),
        dict(bands=[]),
        dict(bands=['nir']),
        dict(sensor='sentinel2'),
        dict(unit='uint8', dtype='uint16'),
        dict(bands='red', unit='uint8'),
        dict(bands=3),
        dict(bands=[1.0, 2.0]),
        dict(nodata='0'),
        dict(nodata_where='some'),
        dict(alpha=True),
    ],
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=r'bands is|unit is|nodata is|nodata_where is|alpha is'):
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
