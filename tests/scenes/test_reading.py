from __future__ import annotations

import math
import os
import threading
import time
import zipfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.scenes import detect_scene
from mmdynamicvis.scenes.grid import Box, Grid
from mmdynamicvis.scenes.reading import Scene, read_ahead

from .scenes import PLACE, VRT, noise, placed_by_points, write


def test_windows_are_those_of_the_file(tmp_path):
    image = noise(70, 90)
    with Scene(write(tmp_path / 'a.tif', image), LoadGeoTIFF(bands=[3, 1])) as scene:
        assert (scene.height, scene.width) == (70, 90)
        assert str(scene.crs) == 'EPSG:32630'
        (window,), nodata = scene.read(Box(10, 20, 50, 90))
    assert (window == image[[2, 0], 10:50, 20:90].transpose(1, 2, 0)).all()
    assert not nodata.any()


def test_dates_share_their_missing_pixels(tmp_path):
    first, second = noise(40, 40), noise(40, 40)[::-1].copy()
    first[:, 3, 4] = 0
    second[:, 5, 6] = 0
    paths = [
        write(tmp_path / f'{name}.tif', image, nodata=0)
        for name, image in (('a', first), ('b', second))
    ]
    with Scene(paths) as scene:
        window, nodata = scene.read(Box(0, 0, 40, 40))
    assert [image[10, 10].tolist() for image in window] == [
        image[:, 10, 10].tolist() for image in (first, second)
    ]
    assert np.argwhere(nodata).tolist() == [[3, 4], [5, 6]]


def test_sixteen_bits_by_a_stated_scaling(tmp_path):
    image = np.array([[[100, 200, 350, 600, 5000]]], np.uint16)
    with Scene(write(tmp_path / 'a.tif', image), scaling=(200, 600)) as scene:
        (window,), _ = scene.read(Box(0, 0, 1, 5))
    assert window[0, :, 0].tolist() == [0, 0, 95.625, 255, 255]


@pytest.mark.parametrize('scaling', [(1000, 3750), (-20, -10)])
def test_a_scaling_that_clips_every_value_is_refused(tmp_path, scaling):
    path = write(tmp_path / 'a.tif', noise(200, 300).astype(np.float32) / 255)
    with pytest.raises(
        ValueError, match=r'a\.tif has values from 0.* would all be clipped to one n'
    ):
        Scene(path, scaling=scaling)
    Scene(path, scaling=(0, 0.5))


def test_threads_have_files_of_their_own(tmp_path):
    image = noise(256, 256)
    boxes = [Box(top, left, top + 32, left + 32) for top in range(0, 224, 8) for left in (0, 100)]
    with Scene(write(tmp_path / 'a.tif', image)) as scene:
        for box, ((window,), _) in read_ahead(scene.read, boxes, readers=4):
            expected = image[:, box.top : box.bottom, box.left : box.right]
            assert (window == expected.transpose(1, 2, 0)).all()


def test_readers_are_ahead_but_not_far():
    started = []
    lock = threading.Lock()

    def read(item):
        with lock:
            started.append(item)
        return item * item

    for item, square in read_ahead(read, range(40), readers=3):
        assert square == item * item
        time.sleep(0.001)
        assert len(started) <= item + 2 * 3 + 1
    assert sorted(started) == list(range(40))


def resident(field):
    """Return VmRSS, or VmHWM, the highest so far, in MB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def test_memory_does_not_grow_with_the_scene(tmp_path):
    """GDAL alone would keep all of the 300 MB where there is as much memory to spare."""
    place = dict(height=10240, width=10240, count=3, dtype='uint8', tiled=True, sparse_ok=True)
    with rasterio.open(tmp_path / 'a.tif', 'w', **PLACE, **place):
        pass

    def read_all():
        before = resident('VmRSS')
        Path('/proc/self/clear_refs').write_text('5')
        with Scene(tmp_path / 'a.tif') as scene:
            boxes = [box for row in Grid(10240, 10240, 512, 0).block_rows(512) for box in row]
            for _ in read_ahead(scene.read, boxes, readers=2):
                pass
        assert resident('VmHWM') - before < 220

    process = get_context('fork').Process(target=read_all)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_reader_that_fails_is_heard():
    def read(item):
        if item == 3:
            raise OSError('damaged')
        return item

    with pytest.raises(OSError, match='damaged'):
        list(read_ahead(read, range(10), readers=2))


def test_no_reference_system_is_said(tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        path = write(tmp_path / 'a.tif', noise(20, 20), crs=None, transform=None)
    with pytest.warns(match=r'a\.tif has no reference system'), Scene(path) as scene:
        pass
    assert scene.crs is None


def test_no_file_at_all():
    with pytest.raises(ValueError, match='there is no raster'):
        Scene([])


def test_files_that_are_no_rasters(tmp_path):
    path = tmp_path / 'a.tif'
    with pytest.raises(OSError, match=r'cannot open .*a\.tif as a raster'):
        Scene(path)
    path.write_text('no raster')
    with pytest.raises(OSError, match=r'cannot open .*a\.tif as a raster'):
        Scene(path)


def test_damaged_files_are_named(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (3, 512, 512), dtype=np.uint8)
    path = write(tmp_path / 'a.tif', image)
    path.write_bytes(path.read_bytes()[:300000])
    with Scene(path) as scene, pytest.raises(OSError, match=r'cannot read rows 400 to 500.*a\.tif'):
        scene.read(Box(400, 0, 500, 512))


def test_missing_bands_are_found_before_the_first_tile(tmp_path):
    path = write(tmp_path / 'a.tif', noise(20, 20, bands=1))
    with pytest.raises(ValueError, match=r'a\.tif has 1 band, but \[3, 2, 1\] are requested'):
        Scene(path, LoadGeoTIFF(bands=[3, 2, 1]))


@pytest.mark.parametrize(
    ('image', 'profile', 'message'),
    [
        (noise(20, 30), {}, r'a\.tif has the shape \(20, 20\), .*b\.tif \(20, 30\)'),
        (noise(20, 20), dict(crs='EPSG:32631'), 'reference system EPSG:32630, .*EPSG:32631'),
        (
            noise(20, 20),
            dict(transform=from_origin(600001, 5300000, 0.5, 0.5)),
            r'b\.tif is shifted by 2\.0 pixels against .*a\.tif',
        ),
        (noise(20, 20, dtype='uint16'), {}, r"dtypes \('uint8',.* equal numbers mean different"),
    ],
)
def test_rasters_of_other_grids(tmp_path, image, profile, message):
    first = write(tmp_path / 'a.tif', noise(20, 20))
    second = write(tmp_path / 'b.tif', image, **profile)
    with pytest.raises(ValueError, match=message):
        Scene([first, second])


def test_rasters_of_other_offsets(tmp_path):
    paths = [write(tmp_path / name, noise(20, 20)) for name in ('a.tif', 'b.tif')]
    with rasterio.open(paths[1], 'r+') as file:
        file.offsets = [0, 0, -1000]
    with pytest.raises(ValueError, match=r'a\.tif has the scales and offsets of bands .*-1000'):
        Scene(paths)
    with Scene(paths, LoadGeoTIFF(bands=[1, 2])) as scene:  # the bands that are read are alike
        assert scene.bands == 2


POINTS = dict(gcps='4 ground control points', rpcs='RPCs')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(('kind', 'points'), POINTS.items())
def test_rasters_placed_by_points(tmp_path, kind, points, recwarn):
    shifts = dict(a=0, b=0, c=1)
    paths = [placed_by_points(tmp_path / f'{n}.tif', kind, s) for n, s in shifts.items()]
    with Scene(paths[:2]) as scene:
        assert scene.points == points
    assert not [w for w in recwarn if 'has no reference system' in str(w.message)]
    with pytest.raises(ValueError, match=r'a\.tif and .*c\.tif are placed by points or RPCs that'):
        Scene([paths[0], paths[2]])
    with Scene(paths[0]) as scene, pytest.raises(ValueError, match=f'placed by {points} alone'):
        detect_scene(scene, lambda windows: [], tmp_path / 'out.gpkg', ['x'])


def test_pixels_of_no_size(tmp_path):
    path = write(tmp_path / 'a.tif', noise(20, 20), transform=Affine(0, 0, 5, 0, 0, 5))
    with pytest.raises(ValueError, match=r'the pixels of .*a\.tif have no size'):
        Scene([path, path])


@pytest.mark.parametrize(
    'name', ['source.tif', 'source.tif.msk', 'source.tif.aux.xml', 'scene.vrt', 'middle.vrt']
)
def test_a_scene_is_all_files_that_gdal_reads(tmp_path, name):
    """A .vrt names a second one, and that a GeoTIFF with a mask and metadata beside it."""
    path = write(tmp_path / 'source.tif', noise(64, 64, bands=1))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, 'r+') as file:
        file.write_mask(True)
    (tmp_path / 'source.tif.aux.xml').write_text('<PAMDataset></PAMDataset>')
    for source, target in (('source.tif', 'middle.vrt'), ('middle.vrt', 'scene.vrt')):
        (tmp_path / target).write_text(VRT.format(source=source))
    with Scene(tmp_path / 'scene.vrt') as scene:
        names = ['middle.vrt', 'scene.vrt', 'source.tif', 'source.tif.aux.xml', 'source.tif.msk']
        assert [Path(file).name for file in scene.files] == names
        before = scene.settings()
        assert scene.settings() == before
        os.utime(tmp_path / name, ns=(0, 12345))
        assert scene.settings() != before


def test_files_in_archives(tmp_path):
    for name in ('a.tif', 'b.tif'):
        write(tmp_path / name, noise(64, 64))
        with zipfile.ZipFile(tmp_path / 'z.zip', 'a') as archive:
            archive.write(tmp_path / name, name)
    settings = []
    for name in ('a.tif', 'b.tif'):
        with Scene(f'/vsizip/{tmp_path}/z.zip/{name}') as scene:
            assert scene.files == [str(tmp_path / 'z.zip')]
            settings.append(scene.settings())
    assert settings[0] != settings[1]


def test_a_missing_source_is_named(tmp_path):
    (tmp_path / 'a.vrt').write_text(VRT.format(source='gone.tif'))
    with pytest.raises(OSError, match=r'cannot read .*a\.vrt \(.*gone\.tif: No such file'):
        Scene(tmp_path / 'a.vrt')


@pytest.mark.parametrize('scaling', [(5, 5), (0, math.inf), (-math.inf, 0), (0, math.nan)])
def test_wrong_scaling(tmp_path, scaling):
    with pytest.raises(ValueError, match=r'scaling is \(.*\); give \(low, high\), finite'):
        Scene(tmp_path / 'a.tif', scaling=scaling)
