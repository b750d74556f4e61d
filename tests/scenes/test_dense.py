from __future__ import annotations

import os
import resource
import time
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio
import torch

from mmdynamicvis.scenes import Pace, Scene, segment_scene
from mmdynamicvis.scenes.grid import Grid

from .scenes import (
    CLASSES,
    PLACE,
    REACH,
    VRT,
    local_model,
    noise,
    placed_by_points,
    predict_by,
    write,
)

QUIET = Pace(progress=False)


def run(path, output, *, predict=None, classes=CLASSES, pace=QUIET, tile=64, **options):
    predict = predict or predict_by(local_model())
    with Scene(path) as scene:
        return segment_scene(scene, predict, output, classes, pace=pace, tile=tile, **options)


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def single_pass(image_CHW):
    """Return the logits of the whole scene at once, (classes, H, W)."""
    (logits,) = predict_by(local_model())([[image_CHW.transpose(1, 2, 0).astype(np.float32)]])
    return logits


def far_from_tile_ends(length, tile, overlap):
    """Return (length,) bool: all tiles over the pixel see what the model looks at."""
    far = np.ones(length, bool)
    for start in Grid(length, 1, tile, overlap).tops:
        if start > 0:
            far[start : start + REACH] = False
        if start + tile < length:
            far[start + tile - REACH : start + tile] = False
    return far


@pytest.mark.parametrize(('height', 'width', 'batch'), [(150, 700, 1), (90, 333, 3), (40, 50, 2)])
def test_equals_a_single_pass_away_from_tile_ends(tmp_path, height, width, batch):
    image = noise(height, width)
    path = write(tmp_path / 'scene.tif', image)
    pace = Pace(batch_size=batch, progress=False)
    output = tmp_path / 'out.tif'
    assert run(path, output, probabilities=True, overlap=20, pace=pace) == output
    found = read(output)
    expected = torch.from_numpy(single_pass(image)).softmax(0).numpy()
    far = np.outer(*(far_from_tile_ends(length, 64, 20) for length in (height, width)))
    assert far.mean() > 0.3
    np.testing.assert_allclose(found[:, far], expected[:, far], atol=1e-5)
    # where a tile sees less, the others count more
    assert np.abs(found - expected).max() < 0.5 * np.abs(expected - 1 / 3).max()


def test_classes_and_place(tmp_path):
    image = noise(100, 130)
    path = write(tmp_path / 'scene.tif', image)
    palette = [(0, 0, 255), (0, 255, 0), (90, 90, 90)]
    run(path, tmp_path / 'out.tif', overlap=20, palette=palette)
    with rasterio.open(tmp_path / 'out.tif') as file, rasterio.open(path) as scene:
        assert file.dtypes == ('uint8',)
        assert file.nodata == 255
        assert (file.crs, file.transform) == (scene.crs, scene.transform)
        assert (file.bounds, file.shape) == (scene.bounds, scene.shape)
        assert file.block_shapes == [(512, 512)]
        assert file.colormap(1)[2] == (90, 90, 90, 255)
        found = file.read(1)
    far = np.outer(*(far_from_tile_ends(length, 64, 20) for length in found.shape))
    assert (found == single_pass(image).argmax(0))[far].all()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['out.tif', 'scene.tif']


def test_no_seams_between_tiles_that_disagree(tmp_path):
    """The blended logit has no step that is steeper than the weights."""
    path = write(tmp_path / 'scene.tif', noise(300, 400))
    signs = np.random.default_rng(1)

    def disagreeing(windows):
        constant = [np.float32([2 * signs.integers(2) - 1, 0]) for _ in windows]
        return [np.broadcast_to(c[:, None, None], (2, 64, 64)) for c in constant]

    options = dict(predict=disagreeing, classes=('a', 'b'), probabilities=True)
    run(path, tmp_path / 'out.tif', overlap=24, **options)
    first, second = np.log(read(tmp_path / 'out.tif'))
    logit = first - second
    assert logit.min() < -0.9 and logit.max() > 0.9
    for axis in (0, 1):
        assert np.abs(np.diff(logit, axis=axis)).max() < 2 * np.pi / (2 * 24) + 1e-3


def test_nodata_is_kept_and_not_predicted(tmp_path):
    image = noise(200, 256)
    image[:, :, 150:] = 0
    image[:, 20, 30] = 0
    path = write(tmp_path / 'scene.tif', image, nodata=0)
    seen = []
    model = predict_by(local_model())

    def watched(windows):
        seen.extend(windows)
        return model(windows)

    run(path, tmp_path / 'out.tif', overlap=0, predict=watched)
    (found,) = read(tmp_path / 'out.tif')
    assert ((found == 255) == (image == 0).all(0)).all()
    # 4 x 4 tiles, of which the last column has no data
    assert len(seen) == 12
    assert all(window[0].any() for window in seen)
    run(path, tmp_path / 'soft.tif', overlap=0, probabilities=True)
    soft = read(tmp_path / 'soft.tif')
    assert (np.isnan(soft).all(0) == (image == 0).all(0)).all()


def of_classes_0_and_5(windows):
    """Return logits of six classes, of which the bright pixels are of the last, the others none."""
    bright = [window[0][..., 0] > 100 for window in windows]
    return [np.stack([np.ones(b.shape), *[b * 0] * 4, 2 * b]).astype(np.float32) for b in bright]


@pytest.mark.parametrize('palette', [None, [(40 * i, 0, 0) for i in range(6)]])
def test_overviews_have_no_classes_of_their_own(tmp_path, palette):
    path = write(tmp_path / 'scene.tif', np.kron(noise(100, 140), np.ones((7, 7))).astype('uint8'))
    options = dict(predict=of_classes_0_and_5, classes=list('abcdef'), tile=512, cog=True)
    run(path, tmp_path / 'out.tif', palette=palette, **options)
    with rasterio.open(tmp_path / 'out.tif', overview_level=0) as file:
        assert np.unique(file.read()).tolist() == [0, 5]
    run(path, tmp_path / 'soft.tif', probabilities=True, **options)
    with rasterio.open(tmp_path / 'soft.tif', overview_level=0) as file:
        probabilities = file.read()
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize('probabilities', [False, True])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_logits_that_are_no_numbers(tmp_path, value, probabilities):
    path = write(tmp_path / 'scene.tif', noise(100, 200))
    model = predict_by(local_model())

    def broken(windows):
        """Break what holds the pixel at 70, 130."""
        logits = model(windows)
        if np.array_equal(windows[0][0], noise(100, 200)[:, 36:, 96:160].transpose(1, 2, 0)):
            logits[0][1, 3, 4] = value
        return logits

    options = dict(overlap=16, probabilities=probabilities)
    message = r'scene\.tif, rows 36 to 100, columns 96 to 160: .* logits that are not finite'
    with pytest.raises(ValueError, match=message):
        run(path, tmp_path / 'out.tif', predict=broken, **options)
    assert not (tmp_path / 'out.tif').exists()


def test_logits_of_pixels_without_data_do_not_count(tmp_path):
    image = noise(64, 64)
    image[:, 10:20] = 0
    path = write(tmp_path / 'scene.tif', image, nodata=0)

    def predict(windows):
        (logits,) = predict_by(local_model())(windows)
        logits[:, 12] = np.nan
        logits[2] = -np.inf  # a class that is excluded
        return [logits]

    run(path, tmp_path / 'out.tif', predict=predict, overlap=16)
    (found,) = read(tmp_path / 'out.tif')
    assert (found[10:20] == 255).all()
    assert set(np.unique(np.delete(found, range(10, 20), 0))) == {0, 1}


@pytest.mark.parametrize('kind', ['same', 'symlink', 'hard link', 'source', 'source of a source'])
def test_no_file_of_the_scene_is_overwritten(tmp_path, kind):
    path = write(tmp_path / 'scene.tif', noise(64, 64))
    output, before = path, path.read_bytes()
    if kind == 'symlink':
        output = tmp_path / 'out.tif'
        output.symlink_to(path)
    elif kind == 'hard link':
        output = tmp_path / 'out.tif'
        os.link(path, output)
    elif kind.startswith('source'):
        for name in ('a.vrt', 'b.vrt')[: 1 + (kind == 'source of a source')]:
            # unlike copy, by name alone
            text = VRT.format(source=path.name)
            path = tmp_path / name
            path.write_text(text)
    with pytest.raises(ValueError, match=rf'{output.name} would be written over .*scene\.tif'):
        run(path, output)
    assert (tmp_path / 'scene.tif').read_bytes() == before


@pytest.mark.parametrize('name', ['out.tif', 'out.tif.aux.xml', 'out.tif.ovr'])
def test_nothing_else_is_overwritten_or_taken_for_the_output(tmp_path, name):
    path = write(tmp_path / 'scene.tif', noise(64, 64))
    (tmp_path / name).write_text('mine')
    with pytest.raises(FileExistsError, match=f'{name} exists; remove it'):
        run(path, tmp_path / 'out.tif')
    assert (tmp_path / name).read_text() == 'mine'


def test_a_damaged_tile_is_predicted_again(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(200, 200))
    run(path, tmp_path / 'whole.tif', overlap=16)
    output = tmp_path / 'out.tif'
    run(path, output, overlap=16, pace=Pace(max_tiles=5, progress=False))
    tile = sorted((tmp_path / 'out.tif.work').glob('tile-*'))[2]
    tile.write_bytes(tile.read_bytes()[:100])
    with pytest.raises(OSError, match=rf'{tile.name} was damaged'):
        run(path, output, overlap=16)
    run(path, output, overlap=16)
    assert output.read_bytes() == (tmp_path / 'whole.tif').read_bytes()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('kind', ['gcps', 'rpcs'])
def test_points_are_kept(tmp_path, kind, cog):
    path = placed_by_points(tmp_path / 'scene.tif', kind)
    run(path, tmp_path / 'out.tif', cog=cog, overlap=16)
    with rasterio.open(tmp_path / 'out.tif') as file, rasterio.open(path) as scene:
        assert file.crs is None and file.transform.is_identity
        assert bool(file.gcps[0]) == (kind == 'gcps')
        assert file.gcps[1] == scene.gcps[1]
        for found, expected in zip(file.gcps[0], scene.gcps[0], strict=True):
            assert found.asdict() == expected.asdict()
        assert (file.rpcs and file.rpcs.to_dict()) == (scene.rpcs and scene.rpcs.to_dict())


def test_cloud_optimized(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(700, 1100))
    run(path, tmp_path / 'plain.tif', tile=512)
    run(path, tmp_path / 'out.tif', tile=512, cog=True)
    with rasterio.open(tmp_path / 'out.tif') as file:
        assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
        assert file.overviews(1)
        assert (file.crs, file.transform) == (PLACE['crs'], PLACE['transform'])
    assert (read(tmp_path / 'out.tif') == read(tmp_path / 'plain.tif')).all()


def test_a_run_in_parts_equals_one_run(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(600, 200))
    options = dict(overlap=16)
    run(path, tmp_path / 'whole.tif', **options)
    runs = 0
    while not (tmp_path / 'parts.tif').exists():
        pace = Pace(max_tiles=17, progress=False, readers=1)
        done = run(path, tmp_path / 'parts.tif', pace=pace, **options)
        runs += 1
        assert (done is not None) == (tmp_path / 'parts.tif').exists()
    assert runs == -(-len(Grid(600, 200, 64, 16)) // 17)
    assert (tmp_path / 'parts.tif').read_bytes() == (tmp_path / 'whole.tif').read_bytes()


def test_finished_tiles_are_not_predicted_again(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(600, 200))
    seen = []
    model = predict_by(local_model())

    def watched(windows):
        seen.extend(window[0].sum() for window in windows)
        return model(windows)

    output, options = tmp_path / 'out.tif', dict(predict=watched, overlap=16)
    run(path, output, pace=Pace(max_tiles=20, progress=False), **options)
    assert len(seen) == 20
    run(path, output, **options)
    assert len(seen) == len(set(seen)) == len(Grid(600, 200, 64, 16))


@pytest.mark.parametrize('parts', [3, 8])
def test_parts_by_several_processes(tmp_path, parts):
    """Eight are more than the six rows of blocks. The run without a part predicts no window."""
    path = write(tmp_path / 'scene.tif', noise(3000, 200))
    whole, output, work = (tmp_path / name for name in ('whole.tif', 'out.tif', 'out.tif.work'))
    run(path, whole, overlap=16)
    processes = [
        # the one that is killed would not end by itself
        start(path, output, seconds=600 if n == 1 else 0.01, part=(n, parts))
        for n in range(parts)
    ]
    while len(list(work.glob('tile-*.npz'))) < 20:
        time.sleep(0.01)
    with pytest.raises(BlockingIOError, match='another process is writing'):
        run(path, output, overlap=16, pace=Pace(batch_size=2, progress=False))
    processes[1].kill()
    assert [finish(process) for process in processes] == [-9 if n == 1 else 0 for n in range(parts)]
    assert not output.exists()
    seen = []
    model = predict_by(local_model())

    def watched(windows):
        seen.extend(windows)
        return model(windows)

    for part in [(1, parts), None]:
        seen.clear()
        pace = Pace(batch_size=2, progress=False, part=part)
        done = run(path, output, predict=watched, overlap=16, pace=pace)
    assert done == output
    assert not seen
    assert output.read_bytes() == whole.read_bytes()
    assert not work.exists()


def test_other_settings_are_refused(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(200, 200))
    run(path, tmp_path / 'out.tif', overlap=16, pace=Pace(max_tiles=1, progress=False))
    with pytest.raises(ValueError, match=r'out\.tif\.work holds .*: overlap was 16 and is 8'):
        run(path, tmp_path / 'out.tif', overlap=8)


def start(path, output, *, seconds=0.0, limit=None, part=None):
    """Segment a scene in a process, a batch every so many seconds, with a limit to file sizes."""

    def segment():
        torch.set_num_threads(1)  # those of the parent are not there
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        model = predict_by(local_model())

        def slow(windows):
            time.sleep(seconds)
            return model(windows)

        pace = Pace(batch_size=2, progress=False, part=part)
        run(path, output, predict=slow, overlap=16, pace=pace)

    process = get_context('fork').Process(target=segment, daemon=True)  # ends with a failed test
    process.start()
    return process


def finish(process):
    process.join()
    return process.exitcode


def test_a_killed_run_continues(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(600, 200))
    killed, whole = tmp_path / 'killed.tif', tmp_path / 'whole.tif'
    work = tmp_path / 'killed.tif.work'
    process = start(path, killed, seconds=0.1)
    while process.is_alive() and len(list(work.glob('tile-*.npz'))) < 20:
        time.sleep(0.01)
    process.kill()
    assert finish(process) == -9
    assert not killed.exists()
    for output in (killed, whole):
        assert finish(start(path, output)) == 0
    assert killed.read_bytes() == whole.read_bytes()
    assert not work.exists()


@pytest.mark.parametrize('limit', [40000, 60000])
def test_a_full_disk_leaves_no_half_output(tmp_path, capfd, limit):
    """Files may not grow beyond a limit, so that a tile or the output meets it."""
    path = write(tmp_path / 'scene.tif', noise(900, 900))
    output = tmp_path / 'out.tif'
    assert finish(start(path, output, limit=limit)) == 1
    assert 'OSError' in capfd.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['out.tif.work', 'scene.tif']
    assert not list((tmp_path / 'out.tif.work').glob('.*'))
    assert finish(start(path, output)) == 0
    assert read(output).shape == (1, 900, 900)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(tile=0), 'tile is 0'),
        (dict(overlap=40), 'overlap is 40; give 0 to 32'),
        (dict(classes=()), 'there are 0 classes'),
        (
            dict(classes=('a', 'b')),
            r'returned \(3, 64, 64\) for a window of \(64, 64\) .* 2 classes',
        ),
    ],
)
def test_what_does_not_fit(tmp_path, options, message):
    path = write(tmp_path / 'scene.tif', noise(100, 100))
    with pytest.raises(ValueError, match=message):
        run(path, tmp_path / 'out.tif', **{'overlap': 16, **options})
    assert not (tmp_path / 'out.tif').exists()


@pytest.mark.parametrize('name', ['batch_size', 'readers', 'max_tiles'])
def test_paces_that_are_none(name):
    with pytest.raises(ValueError, match=f'{name} is 0; give 1 or more'):
        Pace(**{name: 0})


def test_a_part_that_is_none():
    with pytest.raises(ValueError, match=r'part is \(2, 2\); give its number, counted from 0'):
        Pace(part=(2, 2))


@pytest.mark.shared_data
def test_a_real_scene(tmp_path, shared_data):
    path = shared_data / 'large_scenes/naip/m_4709963_se_14_1_20090818.tif'
    predict = predict_by(local_model(bands=4))
    run(path, tmp_path / 'out.tif', predict=predict, tile=256, overlap=64)
    with rasterio.open(tmp_path / 'out.tif') as file, rasterio.open(path) as scene:
        assert (file.crs, file.bounds) == (scene.crs, scene.bounds)
        assert set(np.unique(file.read())) <= {0, 1, 2}
