from __future__ import annotations

import resource
import time
from multiprocessing import get_context

import geopandas
import numpy as np
import pytest
import shapely
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from mmdynamicvis.scenes import Objects, Pace, Scene, detect_scene
from mmdynamicvis.scenes.outlines import mask_outlines

from .scenes import PLACE, write

CLASSES = ('ship', 'tank')
QUIET = Pace(progress=False)


def scene_of_rectangles(path, height=300, width=420, **profile):
    """Write a dark scene with bright rectangles apart from each other; return their boxes."""
    random = np.random.default_rng(0)
    image = np.full((1, height, width), 10, np.uint8)
    boxes = []
    for top in range(4, height - 36, 40):
        for left in range(4, width - 36, 40):
            rows, columns = random.integers(8, 32, 2)
            image[0, top : top + rows, left : left + columns] = 100 + 100 * random.integers(2)
            boxes.append((left, top, left + columns, top + rows))
    return write(path, image, **profile), shapely.box(*np.array(boxes).T)


def find_bright(windows):
    """Return the bright rectangles of each window; those of 200 are of the second class."""
    found = []
    for (image,) in windows:
        bright = mask_outlines(image[None, :, :, 0] > 50)[0]
        shapes = np.array([*shapely.get_parts(bright), None], object)[:-1]
        corners = shapely.bounds(shapes).reshape(-1, 4).astype(int)
        labels = np.array([image[y, x, 0] > 150 for x, y, _, _ in corners], int)
        found.append(Objects(shapes, labels, np.linspace(0.5, 0.9, len(shapes))))
    return found


def run(path, output, *, predict=find_bright, tile=128, overlap=40, pace=QUIET, **options):
    with Scene(path) as scene:
        options = dict(options, tile=tile, overlap=overlap, pace=pace)
        return detect_scene(scene, predict, output, CLASSES, **options)


@pytest.mark.parametrize('name', ['out.gpkg', 'out.geojson'])
@pytest.mark.parametrize('tile', [64, 128, 512])
def test_each_object_once_and_in_place(tmp_path, name, tile):
    path, shapes = scene_of_rectangles(tmp_path / 'scene.tif')
    run(path, tmp_path / name, tile=tile, overlap=tile // 3)
    frame = geopandas.read_file(tmp_path / name)
    assert frame.crs == PLACE['crs']
    assert set(frame.label) == set(CLASSES)
    # in meters: half a meter per pixel, y upwards
    found = shapely.transform(
        frame.geometry.to_numpy(), lambda xy: (xy - (600000, 5300000)) * (2, -2)
    )
    assert sorted(shapely.to_wkt(shapely.normalize(found))) == sorted(
        shapely.to_wkt(shapely.normalize(shapes))
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, 'scene.tif'])


def test_turned_rasters(tmp_path):
    """A transform that turns and shears goes to the polygons as it is."""
    transform = from_origin(1000, 2000, 2, 3) * type(PLACE['transform']).rotation(30)
    path, shapes = scene_of_rectangles(tmp_path / 'scene.tif', transform=transform)
    run(path, tmp_path / 'out.gpkg')
    frame = geopandas.read_file(tmp_path / 'out.gpkg')
    assert len(frame) == len(shapes)
    assert frame.area.sum() == pytest.approx(shapely.area(shapes).sum() * 6)
    x, y = transform * (4, 4)
    assert frame.distance(shapely.Point(x, y)).min() == pytest.approx(0, abs=1e-6)


def test_without_reference_system_in_pixels(tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        path, shapes = scene_of_rectangles(tmp_path / 'scene.tif', crs=None, transform=None)
    with pytest.warns(match=r'scene\.tif has no reference system'):
        run(path, tmp_path / 'out.gpkg')
    frame = geopandas.read_file(tmp_path / 'out.gpkg')
    assert frame.crs is None
    assert shapely.union_all(frame.geometry).equals(shapely.union_all(shapes))


def test_scores(tmp_path):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    run(path, tmp_path / 'out.gpkg', min_score=0.7)
    assert geopandas.read_file(tmp_path / 'out.gpkg').score.min() >= 0.7
    run(path, tmp_path / 'none.gpkg', min_score=1.0)
    frame = geopandas.read_file(tmp_path / 'none.gpkg')
    assert len(frame) == 0
    assert {'label', 'score'} <= set(frame.columns)


def test_windows_without_data_are_left_out(tmp_path):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif', 100, 140, nodata=10)
    seen = []

    def watched(windows):
        seen.extend(windows)
        return find_bright(windows)

    run(path, tmp_path / 'out.gpkg', predict=watched, tile=8, overlap=1)
    # windows between the rectangles
    assert 0 < len(seen) < 100 * 140 / 49
    assert len(geopandas.read_file(tmp_path / 'out.gpkg')) > 0


@pytest.mark.parametrize('name', ['out.gpkg', 'out.geojson'])
def test_a_killed_run_continues(tmp_path, monkeypatch, name):
    """GeoPackages hold the time of writing, which is set here."""
    monkeypatch.setenv('OGR_CURRENT_DATE', '2020-01-01T00:00:00Z')
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    (tmp_path / 'whole').mkdir()
    outputs = tmp_path / name, tmp_path / 'whole' / name

    def slow(windows):
        time.sleep(0.05)
        return find_bright(windows)

    process = get_context('fork').Process(
        target=run, args=(path, outputs[0]), kwargs=dict(predict=slow)
    )
    process.start()
    while process.is_alive() and len(list((tmp_path / f'{name}.work').glob('tile-*'))) < 5:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -9
    assert not outputs[0].exists()
    for output in outputs:
        run(path, output)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(min_agreement=0), 'min_agreement is 0; give a share'),
        (dict(tile=-1), 'tile is -1'),
        (dict(output='out.shp'), r'written to \*\.gpkg or \*\.geojson'),
        (
            dict(classes=1),
            r'scene\.tif, rows 0 to 300, columns 0 to 420: .*labels from 0 to 1 for 1 classes',
        ),
        (dict(tile=128, overlap=0), 'overlap is 0, so that an object across the edge of a window'),
    ],
)
def test_what_does_not_fit(tmp_path, options, message):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    output = tmp_path / options.pop('output', 'out.gpkg')
    classes = CLASSES[: options.pop('classes', 2)]
    with Scene(path) as scene, pytest.raises(ValueError, match=message):
        detect_scene(scene, find_bright, output, classes, **{'pace': QUIET, **options})
    assert not output.exists()


@pytest.mark.parametrize('overlap', [1, 4, 32])
def test_an_object_over_many_windows_is_one(tmp_path, overlap):
    image = np.full((1, 300, 420), 10, np.uint8)
    image[0, 50:250, 60:380] = 100
    path = write(tmp_path / 'scene.tif', image)
    run(path, tmp_path / 'out.gpkg', overlap=overlap)
    (found,) = geopandas.read_file(tmp_path / 'out.gpkg').geometry
    assert found.area == 200 * 320 / 4


def test_parts_of_a_scene(tmp_path):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    run(path, tmp_path / 'whole.gpkg')
    output, counts = tmp_path / 'out.gpkg', []

    def watched(windows):
        counts[-1] += len(windows)
        return find_bright(windows)

    for part in [(2, 3), (0, 3), (1, 3), None]:
        counts.append(0)
        assert not output.exists()
        run(path, output, predict=watched, pace=Pace(progress=False, part=part))
    assert counts == [5, 5, 5, 0]
    found, expected = (geopandas.read_file(file) for file in (output, tmp_path / 'whole.gpkg'))
    assert found.equals(expected)


BOW = shapely.Polygon([(0, 0), (50, 50), (50, 0), (0, 50)])


@pytest.mark.parametrize(
    ('shapes', 'scores', 'message'),
    [
        ([shapely.box(0, 0, 5, 5)], [np.nan], 'scores or places that are not finite'),
        ([shapely.box(np.nan, 0, 5, 5)], [1], 'scores or places that are not finite'),
        ([shapely.Polygon()], [1], 'scores or places that are not finite'),
        ([BOW], [1], r'no clear inside \(Self-intersection\[25 25\]\): shapely.make_valid'),
        ([], None, 'returned 0 predictions for 1 windows'),
    ],
)
def test_predictions_that_are_none(tmp_path, shapes, scores, message):
    """In the second window: the first has been kept by then, and the run can go on."""
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    calls = []

    def predict(windows):
        calls.append(1)
        if len(calls) != 2:
            return find_bright(windows)
        if scores is None:
            return []
        labels = np.zeros(len(shapes), int)
        return [Objects(np.array(shapes, object), labels, np.array(scores, np.float32))]

    window = r'scene\.tif, rows 0 to 128, columns 88 to 216'
    with pytest.raises(ValueError, match=f'{window}: .*{message}'):
        run(path, tmp_path / 'out.gpkg', predict=predict, kind='masks')
    run(path, tmp_path / 'out.gpkg', predict=predict, kind='masks')
    assert (tmp_path / 'out.gpkg').exists()


@pytest.mark.parametrize(
    'crs',
    [
        '+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m',
        'LOCAL_CS["site grid",UNIT["meter",1]]',
        'EPSG:32633+5773',
        None,
    ],
)
@pytest.mark.filterwarnings('ignore')
def test_reference_systems_that_geojson_cannot_name(tmp_path, crs):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif', crs=crs)
    with pytest.raises(ValueError, match=r'no code: out\.geojson would be taken .*Write out\.gpkg'):
        run(path, tmp_path / 'out.geojson')
    run(path, tmp_path / 'out.gpkg')
    frame = geopandas.read_file(tmp_path / 'out.gpkg')
    with Scene(path) as scene:
        assert frame.crs == (scene.crs and scene.crs.to_wkt())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['out.gpkg', 'scene.tif']


@pytest.mark.parametrize('name', ['scene.tif.gpkg', 'out.gpkg', 'out.gpkg-wal'])
def test_nothing_is_overwritten(tmp_path, name):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')
    (tmp_path / name).write_text('mine')
    output = tmp_path / name.replace('-wal', '')
    with pytest.raises(FileExistsError, match=f'{name} exists; remove it'):
        run(path, output)
    assert (tmp_path / name).read_text() == 'mine'


@pytest.mark.parametrize('name', ['out.gpkg', 'out.geojson'])
def test_a_full_disk_leaves_no_half_output(tmp_path, name):
    path, _ = scene_of_rectangles(tmp_path / 'scene.tif')

    def on_a_small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        with pytest.raises(OSError, match='Is the disk full'):
            run(path, tmp_path / name)

    process = get_context('fork').Process(target=on_a_small_disk)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f'{name}.work', 'scene.tif']
    assert not list((tmp_path / f'{name}.work').glob('.*'))
    run(path, tmp_path / name)
    assert len(geopandas.read_file(tmp_path / name)) > 0
