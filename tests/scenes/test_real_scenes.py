"""Real scenes: a whole composite, 13 bands at two dates, 16 bits.

A DynamicVis sees the whole of its window, through the scan and the selection, so that only a window
as large as the scene gives what the scene gives in one pass; test_infer_scene.py checks that. What
tiles may not change is checked here by models whose answer depends on near pixels alone.
"""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.enums import Resampling
from rasterio.features import shapes as trace

from mmdynamicvis.embedding import Embedder
from mmdynamicvis.scenes import Objects, Pace, Scene, detect_scene, infer_scene, segment_scene

from .scenes import CLASSES, REACH, local_model, predict_by
from .test_dense import far_from_tile_ends
from .test_infer_scene import BOXES, MASKS, ROADS, ROTATED, SMALL, Trained

pytestmark = pytest.mark.shared_data

QUIET = Pace(progress=False)
COMPOSITE = 'large_scenes/naip_composite_4670x4338_jpeg.tif'
NAIP = 'large_scenes/naip/m_4709963_se_14_1_20180716.tif'
SIXTEEN_BITS = 'spacenet_solaris/sample_geotiff.tif'
BANDS_13 = 'change_detection/siamese_dynamicvis-base_1xb8-800e-scratch_oscd-13bands-256px.py'
BANDS = ('01', '02', '03', '04', '05', '06', '07', '08', '8A', '09', '10', '11', '12')
INFRARED = 3
BLACK = 60


def place(path):
    """Return what an output on a scene's grid must share with it."""
    with rasterio.open(path) as file:
        return file.crs, file.transform, file.bounds, file.shape


def in_pixels(shapes, transform):
    """Return shapes in pixels of a scene that is not turned."""
    corner, sides = (transform.c, transform.f), (transform.a, transform.e)
    return shapely.transform(shapes, lambda xy: (xy - corner) / sides)


@pytest.mark.exhaustive
def test_a_whole_scene_equals_a_single_pass(tmp_path, shared_data):
    scene = shared_data / COMPOSITE
    model = local_model()
    with Scene(scene) as opened:
        options = dict(tile=1024, overlap=64, cog=True, pace=QUIET)
        segment_scene(opened, predict_by(model), tmp_path / 'out.tif', CLASSES, **options)
    assert place(tmp_path / 'out.tif') == place(scene)
    with rasterio.open(scene) as file:
        image = torch.from_numpy(file.read())
    with rasterio.open(tmp_path / 'out.tif') as file:
        assert file.overviews(1) == [2, 4, 8, 16]
        found = file.read(1)
    far = [far_from_tile_ends(length, 1024, 64) for length in found.shape]
    assert all(part.mean() > 0.9 for part in far)
    for top in range(0, len(found), 700):  # strips, so that the test needs little memory
        rows = slice(top, min(top + 700, len(found)))
        seen = slice(max(top - REACH, 0), rows.stop + REACH)
        logits = model(image[None, :, seen].float() / 100)[0]
        logits = logits[:, rows.start - seen.start :][:, : rows.stop - rows.start]
        first, second = logits.topk(2, dim=0).values
        clear = (first - second > 1e-4).numpy() & np.outer(far[0][rows], far[1])
        assert clear.mean() > 0.85
        assert (found[rows] == logits.argmax(0).numpy())[clear].all()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ('config', 'name'),
    [
        (ROADS, 'out.tif'),
        (BOXES, 'out.gpkg'),
        (ROTATED, 'out.geojson'),
        (MASKS, 'out.gpkg'),
    ],
)
def test_a_whole_scene_by_a_network(tmp_path, checkout, shared_data, config, name):
    scene = shared_data / COMPOSITE
    trained = Trained(checkout / 'configs' / config, tmp_path)
    model = trained.cfg.model
    if config == ROADS:
        model.test_cfg = dict(mode='whole')
    else:  # few candidates: NMS of rotated boxes takes long on a CPU
        model.test_cfg.rpn.update(nms_pre=200, max_per_img=100)
    arguments = (tmp_path / name, trained.cfg, trained.checkpoint)
    infer_scene(scene, *arguments, tile=1024, overlap=128, min_score=0.05, pace=QUIET)
    crs, transform, bounds, shape = place(scene)
    if config == ROADS:
        assert place(tmp_path / name) == (crs, transform, bounds, shape)
        with rasterio.open(tmp_path / name) as file:
            assert set(np.unique(file.read())) == {0, 1}
        return
    frame = geopandas.read_file(tmp_path / name)
    assert frame.crs == crs
    assert len(frame) > 50
    assert frame.is_valid.all()
    assert frame.score.between(0.05, 1).all()
    found = frame.geometry.to_numpy()
    # an untrained head may place rotated boxes partly outside the image
    inside = shapely.intersects if config == ROTATED else shapely.covers
    assert inside(shapely.box(*bounds), found).all()
    # all over the scene, which is 5 x 5 windows
    centers = shapely.get_coordinates(in_pixels(shapely.centroid(found), transform))
    assert len(np.unique(centers // 950, axis=0)) > 20


def dark_in_infrared(windows):
    """Return water: what is black in near infrared, an object per connected area."""
    found = []
    for (image,) in windows:
        water = image[..., INFRARED] < BLACK
        parts = [shapely.geometry.shape(part) for part, _ in trace(water.astype(np.uint8), water)]
        shapes = np.array([*parts, None], dtype=object)[:-1]
        found.append(Objects(shapes, np.zeros(len(shapes), int), np.full(len(shapes), 0.9)))
    return found


@pytest.mark.parametrize(('tile', 'name'), [(256, 'lakes.gpkg'), (100, 'lakes.geojson')])
def test_lakes_across_tiles_are_those_of_a_single_pass(tmp_path, shared_data, tile, name):
    """Those that many tiles cut, too, and of any outline: a wrong pixel anywhere fails the test."""
    path = shared_data / NAIP
    with Scene(path) as scene:
        options = dict(kind='masks', tile=tile, overlap=tile // 4, pace=QUIET)
        detect_scene(scene, dark_in_infrared, tmp_path / name, ['water'], **options)
    frame = geopandas.read_file(tmp_path / name)
    with rasterio.open(path) as file:
        assert frame.crs == file.crs
        (expected,) = dark_in_infrared([[file.read().transpose(1, 2, 0)]])
        found = in_pixels(frame.geometry.to_numpy(), file.transform)
    assert (shapely.area(expected.shapes) > 400).sum() > 20
    pairs = shapely.STRtree(expected.shapes).query(found, predicate='intersects')
    same = shapely.equals(found[pairs[0]], expected.shapes[pairs[1]])
    for indices, count in zip(pairs[:, same], (len(found), len(expected.shapes)), strict=True):
        assert sorted(indices) == list(range(count))


def stack_of_bands(folder: Path, path: Path) -> Path:
    """Write the 13 files of a date as one, on the grid of 10 m."""
    files = [next(folder.glob(f'*B{band}.tif')) for band in BANDS]
    with rasterio.open(files[1]) as grid:
        profile = dict(grid.profile, driver='GTiff', count=len(files), tiled=False)
        shape = grid.shape
    with rasterio.open(path, 'w', **profile) as stack:
        for number, name in enumerate(files, 1):
            with rasterio.open(name) as band:
                options = dict(out_shape=shape, resampling=Resampling.bilinear)
                stack.write(band.read(1, **options), number)
    return path


@pytest.fixture
def rennes(shared_data, tmp_path):
    city = shared_data / 'oscd/images/rennes'
    return [stack_of_bands(city / f'imgs_{date}', tmp_path / f'{date}.tif') for date in (1, 2)]


@pytest.mark.exhaustive
def test_change_in_thirteen_bands(tmp_path, checkout, rennes):
    trained = Trained(checkout / 'configs' / BANDS_13, tmp_path)
    output = tmp_path / 'change.tif'
    infer_scene(rennes, output, trained.cfg, trained.checkpoint, tile=600, pace=QUIET)
    assert place(output) == place(rennes[0])
    assert place(output)[0] == 'EPSG:4326'
    first, second = map(str, rennes)
    expected = trained.on_images(img_path=first, img_path2=second).pred_sem_seg.data[0].numpy()
    with rasterio.open(output) as file:
        assert (file.read(1) == expected).all()
    assert 0 < expected.mean() < 1


def test_vectors_of_thirteen_bands(tmp_path, checkout, rennes):
    trained = Trained(checkout / 'configs' / BANDS_13, tmp_path)
    embedder = Embedder(trained.cfg, checkpoint=trained.checkpoint, device='cpu')
    vectors = embedder(rennes)
    assert vectors.shape == (2, SMALL['embed_dims'][-1])
    assert not torch.allclose(vectors[0], vectors[1], rtol=0.01)
    with rasterio.open(rennes[0]) as file:
        pixels = file.read().astype(np.float32)
    assert torch.equal(embedder([torch.from_numpy(pixels)])[0], vectors[0])
    assert [level.shape[1:] for level in embedder.maps(rennes[0])] == [
        (85, 141), (43, 71), (22, 36), (11, 18)
    ]  # fmt: skip


@pytest.mark.slow
def test_sixteen_bits_to_classes(tmp_path, checkout, shared_data):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    scene, output = shared_data / SIXTEEN_BITS, tmp_path / 'out.tif'
    arguments = (scene, output, trained.cfg, trained.checkpoint)
    options = dict(bands=[1, 1, 1], pace=QUIET)
    with pytest.raises(ValueError, match=r'sample_geotiff\.tif has dtype uint16, not uint8'):
        infer_scene(*arguments, **options)
    assert not (tmp_path / 'out.tif.work').exists()
    infer_scene(*arguments, **options, scaling=(0, 2000), probabilities=True)
    assert place(output) == place(scene)
    with rasterio.open(output) as file, rasterio.open(scene) as image:
        chances, missing = file.read(), image.read_masks(1) == 0
        assert file.descriptions == ('background', 'building')
    assert (np.isnan(chances).all(0) == missing).all()
    np.testing.assert_allclose(chances[:, ~missing].sum(0), 1, atol=1e-5)


def test_vectors_of_a_raster_and_of_its_windows(shared_data):
    torch.manual_seed(0)
    options = dict(mean=[100.0] * 4, std=[50.0] * 4, in_channels=4, device='cpu')
    embedder = Embedder(arch=SMALL, **options)
    path = shared_data / NAIP
    box = (300, 200, 620, 456)  # left, top, right, bottom
    with rasterio.open(path) as file:
        window = file.read(window=((box[1], box[3]), (box[0], box[2])))
    window = window.transpose(1, 2, 0)
    vectors = embedder([path, window, path])
    assert vectors.isfinite().all()
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.allclose(vectors[0], vectors[1], rtol=0.01)
    assert [level.shape[1:] for level in embedder.maps(path)] == [
        (181, 234), (91, 117), (46, 59), (23, 30)
    ]  # fmt: skip
    regions = embedder.regions(path, [box, (0, 0, 934, 724)])
    assert regions.shape == (2, sum(SMALL['embed_dims']))
    assert not torch.allclose(regions[0], regions[1], rtol=0.01)
