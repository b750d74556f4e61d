"""Several maps of a scene that a model predicts together: blending, files, kills and resumption."""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdynamicvis.data.class_maps import class_maps, class_probabilities
from mmdynamicvis.scenes import ClassMap, Pace, Scene, dense, segment_maps

from .scenes import noise, predict_by, write

MAPS = (
    ClassMap('change', ('unchanged', 'changed'), [(0, 0, 0), (255, 255, 255)]),
    ClassMap('before', ('none', 'water', 'field'), [(9, 9, 9), (0, 0, 255), (0, 255, 0)], 'change'),
    ClassMap('after', ('none', 'water', 'field', 'road'), None, 'change'),
)
CHANNELS = 2 + 2 + 3
FILES = ['out_change.tif', 'out_before.tif', 'out_after.tif']
QUIET = Pace(progress=False)


def model() -> torch.nn.Module:
    """Return a point-wise model, whose answer at a pixel does not depend on windows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, CHANNELS, 1).requires_grad_(False)
        torch.nn.init.normal_(layer.weight)
    layer.bias.copy_(-layer.weight.sum((1, 2, 3)))  # 0 in the middle of the values
    return layer


def logits(image_CHW) -> np.ndarray:
    return predict_by(model())([[image_CHW.transpose(1, 2, 0).astype(np.float32)]])[0]


def run(path, output, *, predict=None, pace=QUIET, **options):
    predict = predict or predict_by(model())
    with Scene(path) as scene:
        return segment_maps(scene, predict, output, MAPS, tile=64, overlap=16, pace=pace, **options)


def read(path):
    with rasterio.open(path) as file:
        return file.read()


SCORES = arrays(np.float32, (CHANNELS, 3, 4), elements=st.floats(-5, 5, width=32))


@settings(max_examples=30)
@given(SCORES)
def test_a_map_within_another_is_0_outside(scores):
    """In NumPy and in torch, and against pixels looked at one by one."""
    parts = dict(change=scores[:2], before=scores[2:4], after=scores[4:])
    found = class_maps(MAPS, parts)
    in_torch = class_maps(MAPS, {name: torch.from_numpy(part) for name, part in parts.items()})
    for name, classes in found.items():
        assert (in_torch[name].numpy() == classes).all()
        for y, x in np.ndindex(3, 4):
            best = max(range(len(parts[name])), key=lambda k: parts[name][k, y, x])
            changed = parts['change'][1, y, x] > parts['change'][0, y, x]
            expected = best if name == 'change' else (best + 1 if changed else 0)
            assert classes[y, x] == expected


@settings(max_examples=20)
@given(SCORES)
def test_probabilities_have_the_class_outside(scores):
    parts = dict(change=scores[:2], before=scores[2:4], after=scores[4:])
    soft = {n: torch.from_numpy(p).double().softmax(0).numpy() for n, p in parts.items()}
    found = class_probabilities(MAPS, soft)
    for part in MAPS:
        assert found[part.name].shape == (len(part.classes), 3, 4)
        np.testing.assert_allclose(found[part.name].sum(0), 1)
        np.testing.assert_array_equal(found[part.name][0], soft['change'][0])
    np.testing.assert_allclose(found['after'][2], soft['change'][1] * soft['after'][1])


def test_each_map_has_a_file(tmp_path):
    image = noise(100, 130)
    image[:, :, :7] = 0
    path = write(tmp_path / 'scene.tif', image, nodata=0)
    assert run(path, tmp_path / 'out.tif') == [tmp_path / name for name in FILES]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*FILES, 'scene.tif'])
    scores = logits(image)
    expected = class_maps(MAPS, dict(change=scores[:2], before=scores[2:4], after=scores[4:]))
    assert 0.1 < expected['change'].mean() < 0.9
    assert {1, 2, 3} <= set(np.unique(expected['after']).tolist())
    for part, name in zip(MAPS, FILES, strict=True):
        with rasterio.open(tmp_path / name) as file, rasterio.open(path) as scene:
            assert (file.crs, file.transform, file.shape) == (
                scene.crs,
                scene.transform,
                scene.shape,
            )
            assert (file.count, file.dtypes, file.nodata) == (1, ('uint8',), 255)
            assert file.descriptions == (part.name,)
            if part.palette:
                colors = [file.colormap(1)[i][:3] for i in range(len(part.classes))]
                assert colors == list(part.palette)
            found = file.read(1)
        assert (found[:, :7] == 255).all()
        assert (found[:, 7:] == expected[part.name][:, 7:]).all()


def test_probabilities_of_each_map(tmp_path):
    image = noise(70, 80)
    path = write(tmp_path / 'scene.tif', image)
    run(path, tmp_path / 'out.tif', probabilities=True)
    scores = torch.from_numpy(logits(image)).split([2, 2, 3])
    soft = [part.softmax(0).numpy() for part in scores]
    change, before, after = (read(tmp_path / name) for name in FILES)
    np.testing.assert_allclose(change, soft[0], atol=1e-5)
    np.testing.assert_allclose(before[1:], soft[0][1] * soft[1], atol=1e-5)
    np.testing.assert_allclose(after[0], soft[0][0], atol=1e-5)
    with rasterio.open(tmp_path / FILES[2]) as file:
        assert file.descriptions == ('none', 'water', 'field', 'road')


def test_a_run_in_parts_equals_one_run(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(150, 200))
    (tmp_path / 'whole').mkdir()
    run(path, tmp_path / 'whole/out.tif')
    for _ in range(2):
        assert run(path, tmp_path / 'out.tif', pace=Pace(max_tiles=5, progress=False)) is None
        assert not any((tmp_path / name).exists() for name in FILES)
    run(path, tmp_path / 'out.tif')
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()


def killed(path, output, moment: str) -> None:
    """Write the maps in a process that is killed while it writes them.

    Args:
        path: The scene.
        output: The output.
        moment: Before the second map is written, or when it is complete and not yet in its place.
    """

    def segment():
        torch.set_num_threads(1)
        begin, name = (dense, 'write_raster') if moment == 'before' else (dense, '_record')
        original, calls = getattr(begin, name), []

        def kills(*arguments):
            calls.append(1)
            if len(calls) == 2 and moment == 'before':
                os.kill(os.getpid(), signal.SIGKILL)
            original(*arguments)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(begin, name, kills)
        run(path, output)

    process = get_context('fork').Process(target=segment)
    process.start()
    process.join()
    assert process.exitcode == -9


def identity(path):
    """Return what changes when a file is written again."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def never(windows):
    raise AssertionError('windows are predicted again')


@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_run_killed_between_two_outputs_continues(tmp_path, moment):
    path = write(tmp_path / 'scene.tif', noise(100, 130))
    (tmp_path / 'whole').mkdir()
    run(path, tmp_path / 'whole/out.tif')
    killed(path, tmp_path / 'out.tif', moment)
    assert [(tmp_path / name).exists() for name in FILES] == [True, False, False]
    first = identity(tmp_path / FILES[0])
    assert len(run(path, tmp_path / 'out.tif', predict=never)) == 3
    assert identity(tmp_path / FILES[0]) == first
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
    assert not (tmp_path / 'out.tif.work').exists()


def test_a_file_of_the_users_is_not_taken_for_an_output(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(100, 130))
    killed(path, tmp_path / 'out.tif', 'before')
    (tmp_path / FILES[0]).write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'out_change\.tif exists'):
        run(path, tmp_path / 'out.tif', predict=never)
    assert (tmp_path / FILES[0]).read_bytes() == b'mine'
    (tmp_path / FILES[0]).unlink()
    run(path, tmp_path / 'out.tif', predict=never)
    assert all((tmp_path / name).exists() for name in FILES)


@pytest.mark.parametrize('name', FILES)
def test_existing_files_are_refused_first(tmp_path, name):
    path = write(tmp_path / 'scene.tif', noise(64, 64))
    (tmp_path / name).touch()
    with pytest.raises(FileExistsError, match=name):
        run(path, tmp_path / 'out.tif', predict=never)
    assert not (tmp_path / 'out.tif.work').exists()


def test_logits_of_all_maps_are_needed(tmp_path):
    path = write(tmp_path / 'scene.tif', noise(64, 64))
    some = predict_by(model())
    with pytest.raises(ValueError, match=r'returned \(6, 64, 64\) .* and 7 classes'):
        run(path, tmp_path / 'out.tif', predict=lambda windows: [s[:6] for s in some(windows)])

    def broken(windows):
        return [np.concatenate([s[:2], s[2:4] * np.nan, s[4:]]) for s in some(windows)]

    with pytest.raises(ValueError, match='logits that are not finite'):
        run(path, tmp_path / 'out.tif', predict=broken)
