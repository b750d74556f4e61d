"""Samples of several modalities, on files that are written here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from PIL import Image
from rasters import write_raster

from mmdynamicvis.data.label_maps import LoadLabelMap
from mmdynamicvis.data.modalities import LoadModalities, ModalitySample, PackModalities, Reading
from mmdynamicvis.data.modality_transforms import RandomFlipTurn, RandomFootprintCrop

pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')

OPTICAL = dict(type='mmdynamicvis.LoadGeoTIFF', bands=('B04', 'B08'), unit='stored')
LOADERS = dict(
    optical=OPTICAL,
    radar=dict(type='mmdynamicvis.LoadGeoTIFF', unit='dB', bands=(1,)),
    heat=dict(type='mmdynamicvis.LoadGeoTIFF'),
)


def grid(size, bands=None, start=1):
    shape = (size, size) if bands is None else (bands, size, size)
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.fixture
def files(tmp_path):
    """Three modalities of 120 m, at 10, 20 and 60 m, the second of two dates."""
    optical = write_raster(tmp_path / 'optical.tif', grid(12, 2).astype(np.uint16))
    name_bands(optical, ('B04', 'B08'))
    radar = [
        write_raster(tmp_path / f'radar_{i}.tif', grid(6, start=-50 * i - 40), 20.0)
        for i in range(2)
    ]
    return dict(optical=optical, radar=radar, heat=write_raster(tmp_path / 'h.tif', grid(2), 60.0))


def name_bands(path, names):
    import rasterio

    with rasterio.open(path, 'r+') as file:
        file.descriptions = names


def load(files, loaders=LOADERS, **options):
    used = {name: loaders[name] for name in loaders if name in files}
    return LoadModalities(used, **options)(dict(modalities=files))


def test_each_modality_keeps_its_grid(files):
    results = load(files)
    shapes = {name: [d.shape for d in dates] for name, dates in results['images'].items()}
    assert shapes == dict(optical=[(12, 12, 2)], radar=[(6, 6, 1)] * 2, heat=[(2, 2, 1)])
    assert all(d.dtype == np.float32 for dates in results['images'].values() for d in dates)
    assert results['readings'] == dict(
        optical=Reading(10.0, 'stored', ('B04', 'B08')),
        radar=Reading(20.0, 'dB'),
        heat=Reading(60.0, 'stored'),
    )
    assert (results['images']['optical'][0] == grid(12, 2).transpose(1, 2, 0)).all()
    assert (results['images']['radar'][1][..., 0] == grid(6, start=-90)).all()
    assert results['img_shape'] == results['ori_shape'] == (12, 12)
    assert results['img_path'] == files['optical']


@pytest.mark.parametrize('absent', [dict(), dict(radar=None), dict(radar=[]), dict(radar=[None])])
def test_modalities_and_dates_may_be_absent(files, absent):
    del files['radar'], files['optical']
    results = LoadModalities(LOADERS)(dict(modalities={**files, **absent}))
    assert list(results['images']) == list(results['readings']) == ['heat']
    assert results['img_shape'] == (2, 2)


def test_pixels_without_data_are_nan(tmp_path):
    image = grid(4, 2)
    image[0, 0, 0], image[1, 3, 3] = -9999, np.nan
    path = write_raster(tmp_path / 'a.tif', image, nodata=-9999)
    (date,) = load(dict(heat=path))['images']['heat']
    assert np.argwhere(np.isnan(date).all(-1)).tolist() == [[0, 0], [3, 3]]
    assert np.isfinite(date).sum() == 14 * 2


def test_images_without_georeferencing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    files = dict(rgb=tmp_path / 'a.png', heat=write_raster(tmp_path / 'b.tif', grid(4), None))
    loaders = dict(LOADERS, rgb=dict(type='mmdynamicvis.LoadIntactImage'))
    results = load(files, loaders, gsd=dict(rgb=0.5, heat=1.0))
    assert results['readings']['rgb'] == Reading(0.5, 'uint8', ('blue', 'green', 'red'))
    assert (results['images']['rgb'][0] == pixels[..., ::-1]).all()
    with pytest.raises(ValueError, match=r'b\.tif covers 8 x 8 m .*a\.png covers 4 x 4 m'):
        load(files, loaders, gsd=dict(rgb=0.5, heat=2.0))
    with pytest.raises(ValueError, match=r'b\.tif does not tell .*gsd=dict\(heat=10\.0\)'):
        load(files, loaders, gsd=dict(rgb=0.5))


@pytest.mark.parametrize(
    ('crs', 'step', 'gsd'),
    [
        ('EPSG:32633', 10.0, 10.0),
        ('EPSG:2263', 32.8084, 10.0),  # in feet
        ('EPSG:4326', 1e-4, None),
        ('EPSG:3857', 10.0, None),  # meters on the ground only at the equator
        ('EPSG:3395', 10.0, None),
    ],
)
def test_ground_sampling_distance(tmp_path, crs, step, gsd):
    path = write_raster(tmp_path / 'a.tif', grid(4), step, crs, left=12.0)
    if gsd is None:
        with pytest.raises(ValueError, match=r'a\.tif does not tell the meters per pixel of heat'):
            load(dict(heat=path))
        assert load(dict(heat=path), gsd=dict(heat=7.0))['readings']['heat'].gsd == 7
        return
    assert load(dict(heat=path))['readings']['heat'].gsd == pytest.approx(gsd, rel=1e-4)
    assert load(dict(heat=path), gsd=dict(heat=9.95))['readings']['heat'].gsd == 9.95
    with pytest.raises(ValueError, match=r'a\.tif has 10.* m per pixel, but gsd declares 20'):
        load(dict(heat=path), gsd=dict(heat=20.0))


def test_pixels_must_be_square(tmp_path):
    path = write_raster(tmp_path / 'a.tif', grid(4), (10.0, 20.0))
    with pytest.raises(ValueError, match=r'a\.tif has pixels of 10 x 20 m'):
        load(dict(heat=path))


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (dict(left=6e5 + 40), r'h\.tif is shifted by'),
        (dict(crs='EPSG:32632'), r'optical\.tif has the reference system EPSG:32633, .*h\.tif'),
        (dict(gsd=None), r'optical\.tif has the reference system EPSG:32633, .*h\.tif None'),
        (dict(gsd=100.0), r'h\.tif is shifted by'),
    ],
)
def test_other_footprints_are_refused(files, tmp_path, other, message):
    files['heat'] = write_raster(tmp_path / 'h.tif', grid(2), **{'gsd': 60.0, **other})
    declared = None if other.get('gsd', 60.0) else dict(heat=60.0)
    with pytest.raises(ValueError, match=message):
        load(files, gsd=declared)


def test_one_reference_system_in_two_spellings(tmp_path):
    import rasterio

    files = dict(optical=write_raster(tmp_path / 'a.tif', grid(4, 2)))
    name_bands(files['optical'], ('B04', 'B08'))
    text = rasterio.crs.CRS.from_epsg(32633).to_wkt().replace(',AUTHORITY["EPSG","32633"]', '')
    assert '32633' not in text
    files['heat'] = write_raster(tmp_path / 'b.tif', grid(4), crs=text)
    assert len(load(files)['images']) == 2


def test_dates_share_a_grid(files, tmp_path):
    files['radar'][1] = write_raster(tmp_path / 'r.tif', grid(12, start=-200), 10.0)
    with pytest.raises(ValueError, match=r'the dates of radar differ: .*radar_0\.tif .*r\.tif'):
        load(files)


def test_mistakes_are_named(files):
    with pytest.raises(ValueError, match=r"a sample has the modalities \['lidar'\]"):
        LoadModalities(LOADERS)(dict(modalities=dict(lidar='a.tif')))
    with pytest.raises(ValueError, match='a sample has no image of any modality'):
        LoadModalities(LOADERS)(dict(modalities=dict(radar=None)))
    with pytest.raises(ValueError, match=r"gsd has \['lidar'\]"):
        LoadModalities(LOADERS, gsd=dict(lidar=1.0))
    for wrong in (0, -1, float('nan'), float('inf')):
        with pytest.raises(ValueError, match='gsd of radar is'):
            LoadModalities(LOADERS, gsd=dict(radar=wrong))
    with pytest.raises(ValueError, match=r"units declares 'linear' for radar.*returns 'dB'"):
        LoadModalities(LOADERS, units=dict(radar='linear'))
    files['heat'] = 'none.tif'
    with pytest.raises(OSError, match=r'none\.tif'):
        load(files)


def test_units_that_a_loader_does_not_know(files):
    results = load(files, units=dict(heat='kelvin'))
    assert results['readings']['heat'].unit == 'kelvin'


def with_labels(files, tmp_path, labels, gsd=20.0, loader=None, **results):
    path = write_raster(tmp_path / 'labels.tif', labels, gsd)
    results = dict(load(files), seg_map_path=path, **results)
    return (loader or LoadLabelMap())(results)


def test_label_map_of_its_own_grid(files, tmp_path):
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    results = with_labels(files, tmp_path, labels)
    assert results['gt_seg_map'].dtype == np.uint8
    assert (results['gt_seg_map'] == labels).all()
    assert results['img_shape'] == results['ori_shape'] == (6, 6)
    assert results['seg_fields'] == ['gt_seg_map']


def test_labels_that_are_ignored(files, tmp_path):
    labels = np.zeros((6, 6), np.int16)
    labels[0, :4] = -1, 1, 2, 255
    loader = LoadLabelMap(no_label=(-1,))
    assert with_labels(files, tmp_path, labels, loader=loader)['gt_seg_map'][0].tolist() == [
        *[255, 1, 2, 255, 0, 0]
    ]
    reduced = with_labels(files, tmp_path, labels, loader=loader, reduce_zero_label=True)
    assert reduced['gt_seg_map'][0].tolist() == [255, 0, 1, 255, 255, 255]
    chosen = dict(reduce_zero_label=True, label_map={0: 255, 1: 0})
    chosen = with_labels(files, tmp_path, labels, loader=loader, **chosen)
    assert chosen['gt_seg_map'][0].tolist() == [255, 255, 0, 255, 255, 255]
    with pytest.raises(ValueError, match=r'labels\.tif has labels -1, which are no classes'):
        with_labels(files, tmp_path, labels)
    with pytest.raises(ValueError, match='no whole numbers'):
        with_labels(files, tmp_path, labels + np.float32(0.5))


def test_labels_where_no_modality_has_data(tmp_path):
    fine, coarse = grid(4, 2), grid(2)
    fine[:, :3] = np.nan
    coarse[0, 0] = np.nan
    files = dict(
        optical=write_raster(tmp_path / 'a.tif', fine),
        heat=write_raster(tmp_path / 'b.tif', coarse, 20.0),
    )
    name_bands(files['optical'], ('B04', 'B08'))
    labels = with_labels(files, tmp_path, np.ones((4, 4), np.uint8), 10.0)['gt_seg_map']
    assert (labels == 255).tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2


def test_label_maps_of_other_images_are_refused(files, tmp_path):
    labels = np.zeros((6, 6), np.uint8)
    with pytest.raises(ValueError, match=r'labels\.tif is shifted'):
        with_labels(files, tmp_path, labels, gsd=30.0)
    with pytest.raises(ValueError, match=r'label map .*labels\.tif is of \(5, 5\) pixels'):
        with_labels(files, tmp_path, labels[:5, :5], gsd=None)
    assert with_labels(files, tmp_path, labels, gsd=None)['img_shape'] == (6, 6)
    with pytest.raises(ValueError, match=r'labels\.tif has 3 bands'):
        with_labels(files, tmp_path, np.zeros((3, 6, 6), np.uint8))
    results = dict(load(files), seg_map_path='none.tif')
    with pytest.raises(OSError, match=r'cannot load label map none\.tif'):
        LoadLabelMap()(results)
    with pytest.raises(ValueError, match='put LoadLabelMap right behind LoadModalities'):
        LoadLabelMap()(RandomFlipTurn()(results))


def positions(size, of):
    """An image whose values are the positions of its pixels in a footprint of ``of`` pixels."""
    middles = (np.arange(size) + 0.5) * of / size
    return np.stack(np.meshgrid(middles, middles, indexing='ij')).astype(np.float32)


@pytest.fixture
def placed(tmp_path):
    """The position of each pixel, at 10, 20 and 60 m, and as labels."""
    tmp_path = tmp_path / 'placed'
    optical = write_raster(tmp_path / 'optical.tif', positions(12, 12))
    name_bands(optical, ('B04', 'B08'))
    radar = write_raster(tmp_path / 'radar.tif', positions(6, 12)[:1], 20.0)
    heat = write_raster(tmp_path / 'heat.tif', positions(2, 12), 60.0)
    labels = positions(12, 12).astype(np.uint8)[0] * 12 + positions(12, 12).astype(np.uint8)[1]
    files = dict(optical=optical, radar=radar, heat=heat)
    return lambda: with_labels(files, tmp_path, labels, 10.0)


def means(image, factor):
    """Means of blocks of pixels, (H, W, bands)."""
    height, width, bands = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, bands)
    return blocks.mean((1, 3))


def assert_aligned(results):
    images = {name: dates[0] for name, dates in results['images'].items()}
    assert np.allclose(means(images['optical'], 2)[..., :1], images['radar'])
    assert np.allclose(means(images['optical'], 6), images['heat'])
    row, column = images['optical'].astype(int).transpose(2, 0, 1)
    assert (results['gt_seg_map'] == row * 12 + column).all()
    assert results['img_shape'] == results['gt_seg_map'].shape


def test_flips_and_turns_act_on_all_alike(placed):
    seen = set()
    for _ in range(60):
        results = RandomFlipTurn()(placed())
        assert_aligned(results)
        seen.add(results['gt_seg_map'].tobytes())
    assert len(seen) == 8


def test_images_that_are_not_square_keep_their_size(tmp_path):
    path = write_raster(tmp_path / 'a.tif', grid(6)[:4])
    seen = set()
    for _ in range(30):
        results = RandomFlipTurn()(load(dict(heat=path)))
        assert results['images']['heat'][0].shape == (4, 6, 1)
        assert results['img_shape'] == (4, 6)
        seen.add(results['images']['heat'][0].tobytes())
    assert len(seen) == 4


def test_crops_of_one_footprint(placed):
    corners = set()
    for _ in range(30):
        results = RandomFootprintCrop((60, 120))(placed())
        assert_aligned(results)
        assert results['images']['optical'][0].shape == (6, 12, 2)
        assert results['images']['heat'][0].shape == (1, 2, 2)
        corners.add(int(results['gt_seg_map'][0, 0]))
    assert corners == {0, 6 * 12}


@pytest.mark.parametrize('size', [50, 100, 180, (60, 20), 5])
def test_crops_that_cut_pixels_are_refused(placed, size):
    with pytest.raises(ValueError, match=r'optical\.tif: a crop of .*steps of 60 m'):
        RandomFootprintCrop(size)(placed())


@pytest.mark.parametrize('size', [0, -1, (1, 2, 3)])
def test_sizes_of_crops(size):
    with pytest.raises(ValueError, match='size is'):
        RandomFootprintCrop(size)


def test_packing_chooses_the_host(files, placed):
    segmentation = PackModalities()(placed())
    assert isinstance(segmentation['data_samples'], SegDataSample)
    assert segmentation['data_samples'].gt_sem_seg.data.shape == (1, 12, 12)
    assert segmentation['data_samples'].ori_shape == (12, 12)
    classification = PackModalities()(dict(load(files), gt_label=[1, 2]))
    assert isinstance(classification['data_samples'], DataSample)
    assert classification['data_samples'].gt_label.tolist() == [1, 2]
    assert classification['data_samples'].img_path == files['optical']
    inputs = classification['inputs']
    assert isinstance(inputs, ModalitySample)
    assert {name: [tuple(d.shape) for d in dates] for name, dates in inputs.images.items()} == dict(
        optical=[(2, 12, 12)], radar=[(1, 6, 6)] * 2, heat=[(1, 2, 2)]
    )
    assert torch.equal(inputs.images['optical'][0], torch.from_numpy(grid(12, 2)))
    unlabeled = dict(load(files), seg_fields=[])
    assert isinstance(PackModalities()(unlabeled)['data_samples'], SegDataSample)
    packer = dict(type='mmpretrain.PackInputs')
    assert isinstance(PackModalities(packer)(load(files))['data_samples'], DataSample)
    with pytest.raises(ValueError, match='neither a class nor a label map'):
        PackModalities()(load(files))
    with pytest.raises(ValueError, match='begin with LoadModalities'):
        PackModalities()(dict(gt_label=1))
    # mmengine's collation keeps one object per sample, whatever modalities they have
    batch = pseudo_collate([segmentation, PackModalities()(unlabeled)])
    assert [type(sample) for sample in batch['inputs']] == [ModalitySample] * 2
