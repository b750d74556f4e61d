"""Scenes of several sensors: each on its own grid, whole or in part, and resampled where stated."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from rasterio.warp import transform as project
from rasters import LEFT, TOP, write_raster
from running import run_tool

from mmdynamicvis.data.modalities import LoadModalities
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.scenes import ModalityScene, Pace, infer_scene
from mmdynamicvis.scenes.grid import Box, Grid

from .modality_model import FOLDERS, WIDTHS, ModalityModel, probabilities, write_tile
from .scenes import noise, write

CHECKOUT = Path(__file__).resolve().parents[2]
QUIET = Pace(progress=False)
STORED = dict(type='mmdynamicvis.LoadGeoTIFF', bands=(1,), unit='stored')


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> ModalityModel:
    return ModalityModel(CHECKOUT / 'configs', tmp_path_factory.mktemp('model'))


def opened(paths: dict, grid: str, **options) -> ModalityScene:
    return ModalityScene(paths, LoadModalities(dict.fromkeys(paths, STORED)), grid, **options)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize('missing', [(), ('sentinel2', 'sentinel1')])
def test_one_window_is_the_model_applied_directly(trained, tmp_path, missing):
    files = write_tile(tmp_path)
    scene = {name: path for name, path in files.items() if name not in missing}
    output = tmp_path / 'cover.tif'
    # without overlap, windows are not weighted
    options = dict(overlap=0, probabilities=True, pace=QUIET, device='cpu')
    infer_scene(scene, output, trained.cfg, trained.checkpoint, **options)
    np.testing.assert_array_equal(read(output), probabilities(trained.on_files(scene)))
    with rasterio.open(output) as file, rasterio.open(files['dem']) as other:
        assert (file.crs, file.transform, file.shape) == (other.crs, other.transform, other.shape)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    'missing', [None, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in FOLDERS)]
)
def test_real_tile_in_one_window(shared_data, trained, tmp_path, missing):
    tile = shared_data / 'terramind_tiles'
    scene = {
        name: tile / folder / '637U_59R_1_3.tif'
        for name, folder in FOLDERS.items()
        if name != missing
    }
    output = tmp_path / 'cover.tif'
    options = dict(tile=224, overlap=0, probabilities=True, pace=QUIET, device='cpu')
    infer_scene(scene, output, trained.cfg, trained.checkpoint, **options)
    found = read(output)
    np.testing.assert_array_equal(found, probabilities(trained.on_files(scene)))
    assert found.std((1, 2)).max() > 1e-3


def test_windows_of_several_sensors_are_classified(trained, tmp_path):
    """By a classifier of mmpretrain with the backbone of the land cover model."""
    pytest.importorskip('mmpretrain')
    cfg = Config(copy.deepcopy(trained.cfg.to_dict()))
    cfg.default_scope = 'mmpretrain'
    neck = cfg.model.neck
    neck.update(in_channels=WIDTHS[-1:], cells=neck.cells[-1:], out_channels=8)
    cfg.model = dict(
        type='ImageClassifier',
        data_preprocessor=cfg.data_preprocessor,
        backbone=dict(cfg.model.backbone, out_indices=(3,)),
        neck=[neck, dict(type='GlobalAveragePooling')],
        head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
    )
    dataset = cfg.test_dataloader.dataset
    dataset.metainfo = dict(classes=('water', 'trees', 'crops'))
    dataset.pipeline = [cfg.test_pipeline[0], dict(type='mmdynamicvis.PackModalities')]
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    save_weights(model.state_dict(), tmp_path / 'random.safetensors')
    scene, output = write_tile(tmp_path), tmp_path / 'cover.tif'
    options = dict(overlap=0, probabilities=True, pace=QUIET, device='cpu')
    infer_scene(scene, output, cfg, tmp_path / 'random.safetensors', **options)
    load, pack = dataset.pipeline
    pipeline = Compose([load, dict(pack, packer=dict(type='mmpretrain.PackInputs'))])
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([pipeline(dict(modalities=scene))]))
    expected = np.broadcast_to(sample.pred_score.numpy()[:, None, None], (3, 48, 48))
    np.testing.assert_allclose(read(output), expected, atol=1e-6)
    assert expected.std(0).max() > 1e-3


@pytest.mark.slow
def test_killed_run_continues(trained, tmp_path):
    scene = write_tile(tmp_path, 64)
    options = dict(tile=48, overlap=16, probabilities=True, device='cpu')
    model = (trained.cfg, trained.checkpoint)
    infer_scene(scene, tmp_path / 'whole.tif', *model, **options, pace=QUIET)
    pace = Pace(progress=False, max_tiles=2)
    assert infer_scene(scene, tmp_path / 'parts.tif', *model, **options, pace=pace) is None
    without = {name: path for name, path in scene.items() if name != 'dem'}
    with pytest.raises(ValueError, match=r'another run.*dem'):
        infer_scene(without, tmp_path / 'parts.tif', *model, **options, pace=QUIET)
    assert infer_scene(scene, tmp_path / 'parts.tif', *model, **options, pace=QUIET)
    assert (tmp_path / 'parts.tif').read_bytes() == (tmp_path / 'whole.tif').read_bytes()
    assert not (tmp_path / 'parts.tif.work').exists()


def test_each_raster_on_its_own_grid(tmp_path):
    """Pixels of 10, 20 and 60 m begin together every 60 m."""
    sides = dict(fine=36, middle=18, coarse=6)
    images = {name: noise(side, side, 1, 'float32') for name, side in sides.items()}
    paths = {
        name: write_raster(tmp_path / f'{name}.tif', image, 360 / sides[name])
        for name, image in images.items()
    }
    with opened(paths, 'fine') as scene:
        assert scene.step == (6, 6)
        window, nodata = scene.read(Box(6, 12, 30, 36))
        assert not nodata.any() and window.shape == (24, 24)
        for name, gsd in dict(fine=10, middle=20, coarse=60).items():
            rows, columns = (slice(a // gsd, b // gsd) for a, b in ((60, 300), (120, 360)))
            np.testing.assert_array_equal(
                window.images[name][0][..., 0], images[name][0, rows, columns]
            )
            assert window.readings[name].gsd == gsd
        with pytest.raises(ValueError, match='multiples of'):
            scene.read(Box(3, 0, 27, 24))
        for tile, overlap in ((20, 6), (24, 4)):
            with pytest.raises(ValueError, match='multiples of 6'):
                Grid(scene.height, scene.width, tile, overlap, scene.step)
        assert len(Grid(scene.height, scene.width, 40, 10, scene.step)) == 1
    with opened(paths, 'coarse') as scene:
        assert (scene.height, scene.width, scene.step) == (6, 6, (1, 1))


def test_windows_of_several_grids_are_the_model_on_each(tmp_path):
    """Elevation of 30 m, and the defaults of tile and overlap are rounded to whole pixels."""
    trained = ModalityModel(CHECKOUT / 'configs', tmp_path, dem=30.0)
    scene = write_tile(tmp_path, 66, dem=30.0)
    trained.cfg.model.backbone.img_size = 50
    output = tmp_path / 'cover.tif'
    options = dict(probabilities=True, pace=QUIET, device='cpu')
    infer_scene(scene, output, trained.cfg, trained.checkpoint, overlap=0, **options)
    # the first 48 pixels, of which only the first 18 lie in no other window
    cut = {name: tmp_path / f'cut_{name}.tif' for name in scene}
    for name, path in cut.items():
        image = read(scene[name])
        side = image.shape[1] * 48 // 66
        write_raster(path, image[:, :side, :side], 30.0 if name == 'dem' else 10.0)
    expected = probabilities(trained.on_files(cut))
    np.testing.assert_allclose(read(output)[:, :18, :18], expected[:, :18, :18], atol=1e-6)


def test_rasters_that_do_not_lie_on_each_other(tmp_path):
    first = write_raster(tmp_path / 'first.tif', noise(24, 24, 1))
    image = noise(12, 12, 1)
    turned = Affine.translation(LEFT, TOP) * Affine.rotation(5) * Affine.scale(20, -20)
    others = dict(
        zone=write_raster(tmp_path / 'zone.tif', image, 20.0, crs='EPSG:32632'),
        shifted=write_raster(tmp_path / 'shifted.tif', image, 20.0, left=LEFT + 15),
        smaller=write_raster(tmp_path / 'smaller.tif', image[:, :11], 20.0),
        turned=write(tmp_path / 'turned.tif', image, crs='EPSG:32633', transform=turned),
        degrees=write_raster(tmp_path / 'degrees.tif', image, 2e-4, crs='EPSG:4326'),
    )
    for name, path in others.items():
        with pytest.raises(ValueError, match=r'first\.tif|meters per pixel') as caught:
            opened({'first': first, name: path}, 'first')
        assert f'{name}.tif' in str(caught.value)
        if name != 'degrees':
            assert f'have {name} resampled to first' in str(caught.value)
    near = write_raster(tmp_path / 'near.tif', image, 20.0, left=LEFT + 8)
    assert opened(dict(first=first, near=near), 'first').step == (2, 2)


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A plane in meters of zone 33, which any correct interpolation leaves as it is."""
    return (0.02 * (x - LEFT) - 0.03 * (y - TOP)).astype(np.float32)


@pytest.mark.parametrize('gsd', [4.0, 10.0, 25.0])
def test_resampled_to_the_grid_of_another(tmp_path, gsd):
    """From another zone, finer and coarser; the same in any window, without data outside."""
    size, n = 40, round(240 / gsd)
    first = write_raster(tmp_path / 'first.tif', noise(size, size, 1))
    (x,), (y,) = project('EPSG:32633', 'EPSG:32632', [LEFT], [TOP])
    left, top = x - 30, y - 20
    columns, rows = np.meshgrid((np.arange(n) + 0.5) * gsd, (np.arange(n) + 0.5) * gsd)
    xs, ys = project(
        'EPSG:32632', 'EPSG:32633', (left + columns).ravel(), (top + 60 - rows).ravel()
    )
    image = plane(np.array(xs), np.array(ys)).reshape(1, n, n)
    place = dict(crs='EPSG:32632', transform=Affine(gsd, 0, left, 0, -gsd, top + 60))
    other = write(tmp_path / 'other.tif', image, **place)
    with opened(dict(first=first, other=other), 'first', resample=['other']) as scene:
        assert scene.step == (1, 1) and scene.readings['other'].gsd == 10
        window, nodata = scene.read(Box(0, 0, size, size))
        found = window.images['other'][0][..., 0]
        xs, ys = np.meshgrid(LEFT + 5 + 10 * np.arange(size), TOP - 5 - 10 * np.arange(size))
        missing = np.isnan(found)
        assert 0.1 < missing.mean() < 0.9 and not nodata.any()
        inside = ~missing
        # at the edge, the nearest pixels count alone
        error = np.abs(found - plane(xs, ys))[inside]
        assert error.max() < 0.05 * max(gsd, 10)
        # of several pixels under a triangle, one centimeter per meter of a pixel
        assert np.median(error) < (0.005 if gsd < 10 else 5e-4)
        for box in (Box(3, 5, 17, 21), Box(0, 0, 1, 1), Box(30, 30, 40, 40)):
            part, _ = scene.read(box)
            expected = found[box.top : box.bottom, box.left : box.right]
            if np.isnan(expected).all():
                assert 'other' not in part.images
            else:
                np.testing.assert_allclose(part.images['other'][0][..., 0], expected, atol=1e-3)
    far = write_raster(tmp_path / 'far.tif', noise(8, 8, 1), left=LEFT + 1e4)
    with pytest.raises(ValueError, match=r'far.tif and .*first.tif have no place in common'):
        opened(dict(first=first, far=far), 'first', resample=['far'])
    bare = write_raster(tmp_path / 'bare.tif', noise(8, 8, 1), None)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r'bare.tif has no reference'):
        warnings.simplefilter('ignore')
        opened(dict(first=first, bare=bare), 'first', resample=['bare'])


def test_nodata(tmp_path):
    """A pixel has a result if any sensor saw it; a window is without those that saw nothing."""
    optical, radar = noise(16, 16, 1, 'float32'), noise(8, 8, 1, 'float32')
    optical[0, :, :8] = -1
    radar[0, :4] = np.nan
    paths = dict(
        optical=write_raster(tmp_path / 'optical.tif', optical, nodata=-1),
        radar=write_raster(tmp_path / 'radar.tif', radar, 20.0),
    )
    with opened(paths, 'optical') as scene:
        window, nodata = scene.read(Box(0, 0, 16, 16))
        assert set(window.images) == set(paths)
        assert nodata.nonzero()[0].max() == 7 and nodata.sum() == 64 and nodata[:8, :8].all()
        window, nodata = scene.read(Box(8, 0, 16, 8))
        assert set(window.images) == set(window.readings) == {'radar'} and not nodata.any()
        window, nodata = scene.read(Box(0, 0, 8, 8))
        assert not window.images and nodata.all()


def test_two_dates_of_a_sensor(trained, tmp_path):
    files = write_tile(tmp_path)
    later = write_raster(tmp_path / 'later.tif', read(files['sentinel1']) + 3)
    scene = dict(files, sentinel1=[files['sentinel1'], later])
    output = tmp_path / 'cover.tif'
    options = dict(overlap=0, probabilities=True, pace=QUIET, device='cpu')
    infer_scene(scene, output, trained.cfg, trained.checkpoint, **options)
    np.testing.assert_array_equal(read(output), probabilities(trained.on_files(scene)))


def test_bands_of_a_sensor_by_name(trained, tmp_path):
    """A product with offsets and four bands, which the file names in another order."""
    files = write_tile(tmp_path)
    order = ('B08', 'B02', 'B04', 'B03')
    all_bands = trained.cfg.s2_bands
    image = read(files['sentinel2'])[[all_bands.index(name) for name in order]]
    path = write_raster(tmp_path / 'four.tif', (image + 1000).astype(np.uint16))
    with rasterio.open(path, 'r+') as file:
        file.descriptions = order
    bands = ('B02', 'B03', 'B04', 'B08')
    output = tmp_path / 'cover.tif'
    infer_scene(
        dict(sentinel2=path, dem=files['dem']),
        output,
        trained.cfg,
        trained.checkpoint,
        bands=dict(sentinel2=bands),
        sensor=dict(sentinel2='sentinel2'),
        probabilities=True,
        pace=QUIET,
        device='cpu',
    )
    trained.cfg.test_pipeline[0].loaders.sentinel2.bands = bands
    scene = dict(sentinel2=files['sentinel2'], dem=files['dem'])
    expected = probabilities(trained.on_files(scene))
    trained.cfg.test_pipeline[0].loaders.sentinel2.bands = all_bands
    np.testing.assert_allclose(read(output), expected, atol=1e-5)


def test_command(trained, tmp_path):
    files = write_tile(tmp_path)
    config = tmp_path / 'config.py'
    trained.cfg.dump(config)
    rasters = [text for name in files for text in ('--modality', f'{name}={files[name]}')]
    tool = CHECKOUT / 'tools/infer_scene.py'
    model = (config, trained.checkpoint, '--device', 'cpu')
    run = run_tool(tool, tmp_path / 'cover.tif', *model, *rasters, '--nodata', 'dem=-1')
    assert run.returncode == 0, run.stderr
    expected = trained.on_files(files).argmax(0)
    np.testing.assert_array_equal(read(tmp_path / 'cover.tif')[0], expected)
    for arguments, message in (
        (['--nodata', '-1', *rasters], '--nodata: give NAME=VALUE with --modality'),
        (['--modality', files['dem']], 'is not NAME=SCENE'),
        ([], 'give SCENE OUTPUT'),
        ([*rasters, '--sensor', 'sentinel2=moon'], "'moon' is none of sentinel2"),
    ):
        run = run_tool(tool, tmp_path / 'other.tif', *model, *arguments)
        assert run.returncode == 2 and message in run.stderr


def test_wrong_arguments(trained, tmp_path):
    files = write_tile(tmp_path)

    def error(scene, **options) -> str:
        with pytest.raises(ValueError) as caught:
            infer_scene(scene, tmp_path / 'out.tif', trained.cfg, trained.checkpoint, **options)
        return str(caught.value)

    assert 'takes rasters of sentinel2, dem, sentinel1, and rasters without' in error(files['dem'])
    assert "rasters of ['lidar'] are given" in error(dict(lidar=files['dem']))
    assert 'takes rasters of sentinel2' in error({})
    assert 'bands=dict(sentinel2=[1])' in error(files, bands=[1])
    assert "nodata is of ['radar']" in error(files, nodata=dict(radar=0))
    assert 'for models of one sensor' in error(files, scaling=(0, 1))
    assert "grid has ['lidar']" in error(files, grid='lidar')
    assert "resample has ['lidar']" in error(files, resample=['lidar'])
    assert 'leave it out' in error(files, resample=['sentinel2'])
    trained.cfg.model.test_cfg = dict(mode='slide', crop_size=(48, 48), stride=(32, 32))
    assert "mode='whole'" in error(files)
    trained.cfg.model.test_cfg = dict(mode='whole')
    trained.cfg.test_pipeline[0].loaders.dem = dict(type='mmdynamicvis.LoadBandFiles', bands=('D',))
    trained.cfg.test_dataloader.dataset.pipeline = trained.cfg.test_pipeline
    assert 'loads dem by LoadBandFiles' in error(files)
    assert list(tmp_path.glob('out*')) == []


RENNES = dict(
    s2_10=('B02', 'B03', 'B04', 'B08'),
    s2_20=('B05', 'B06', 'B07', 'B8A', 'B11', 'B12'),
    s2_60=('B01', 'B09', 'B10'),
)


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.exhaustive
def test_real_bands_of_10_20_and_60_m(shared_data, tmp_path):
    """In degrees, with declared meters; their pixels begin together only at the scene's corners."""
    trained = ModalityModel(CHECKOUT / 'configs', tmp_path, RENNES)
    scene = {}
    for name, bands in RENNES.items():
        images = []
        for band in bands:
            (path,) = (shared_data / 'oscd/images/rennes/imgs_2').glob(f'*_{band}.tif')
            images.append(read(path)[0])
        with rasterio.open(path) as file:
            place = dict(crs=file.crs, transform=file.transform)
        scene[name] = write(tmp_path / f'{name}.tif', np.stack(images), **place)
    output = tmp_path / 'cover.tif'
    model = (trained.cfg, trained.checkpoint)
    options = dict(probabilities=True, pace=QUIET, device='cpu')
    with pytest.raises(ValueError, match='only every 339 pixels: give multiples'):
        infer_scene(scene, output, *model, tile=256, overlap=64, **options)
    infer_scene(scene, output, *model, tile=563, overlap=0, **options)
    expected = probabilities(trained.on_files(scene))
    np.testing.assert_array_equal(read(output), expected)
    # on the grid of 10 m, any windows do, and the coarse bands hardly change what is found
    resampled = tmp_path / 'resampled.tif'
    infer_scene(scene, resampled, *model, tile=256, resample=['s2_20', 's2_60'], **options)
    found = read(resampled)
    assert found.shape == expected.shape and np.isfinite(found).all()
