"""Exported segmentors, change detectors and FCOS: the files on disk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import rasterio
import torch
from mmengine.config import Config
from rasterio.transform import from_origin
from running import run_tool

from mmdynamicvis.export import Deepness, classifier, detector, export_model, segmentor

from .hosts import CHANGE, CLASSIFIER, FCOS, SEGMENTOR, images, made

CM = 50.0


def check(checkout: Path, *arguments: object, error: str | None = None) -> str:
    """Return what the check prints; ``error`` is what it must fail with."""
    done = run_tool(checkout / 'tools/check_onnx_scene.py', *arguments)
    assert done.returncode == int(error is not None), done.stderr
    if error is not None:
        assert re.search(f'^error: .*{error}', done.stderr, re.MULTILINE), done.stderr
    return done.stdout


def scene(path: Path, pixels_CHW: np.ndarray, **profile) -> Path:
    """Write a GeoTIFF with pixels of half a meter."""
    place = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, CM / 100, CM / 100))
    shape = dict(zip(('count', 'height', 'width'), pixels_CHW.shape, strict=True))
    with rasterio.open(path, 'w', dtype='uint8', **{**place, **shape, **profile}) as file:
        file.write(pixels_CHW)
    return path


def largest(ours: tuple[torch.Tensor, ...], file: Path, x: torch.Tensor) -> float:
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    theirs = session.run(None, dict(images=x.numpy()))
    return max(
        float((a - torch.from_numpy(b)).abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.exhaustive
def test_a_segmentor_runs_by_the_rules_of_deepness_as_infer_scene(tmp_path, checkout) -> None:
    config, weights = made(SEGMENTOR, tmp_path)
    file = tmp_path / 'land.onnx'
    model = segmentor(config, weights)
    assert export_model(model, file, deepness=Deepness(CM)) < 1e-4
    metadata = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    read = {name: json.loads(text) for name, text in metadata.items()}
    assert read['model_type'] == 'Segmentor'
    assert read['class_names'] == {'0': 'water', '1': 'field', '2': 'road'}
    assert (read['resolution'], read['tile_size'], read['tiles_overlap']) == (CM, 64, 25)
    pixels = images(1, 150, 200)[0].numpy()
    # without data in a corner
    pixels[:, :20, :30] = 0
    raster = scene(tmp_path / 'scene.tif', pixels, nodata=0)
    said = check(checkout, file, raster, config, weights)
    assert 'tiles of 64 pixels, overlap 16, 50 cm per pixel' in said
    assert 'and 0 pixels have another class' in said
    # the plugin does not blend tiles: what depends on the window differs
    alike = float(re.search(r'Deepness: ([\d.]+)% of pixels', said)[1])
    assert 50 < alike <= 100

    # a scene of one tile needs no joining
    one = scene(tmp_path / 'one.tif', images(1, 64, 64)[0].numpy())
    assert 'Deepness: 100.00% of pixels' in check(checkout, file, one, config, weights)

    options = dict(crs='EPSG:32630', transform=from_origin(600000, 5300000, 0.3, 0.3))
    finer = scene(tmp_path / 'finer.tif', images(1, 64, 64)[0].numpy(), **options)
    check(checkout, file, finer, config, weights, error='pixels of 30 cm, and the file is for 50')
    small = scene(tmp_path / 'small.tif', images(1, 40, 64)[0].numpy())
    check(checkout, file, small, config, weights, error='64 x 40 pixels, less than a tile of 64')

    # the check can fail: other weights
    other = tmp_path / 'other'
    other.mkdir()
    changes = {'model.backbone.reduction_ratios': (0.9, 0.9, 0.9, 0.9)}
    cfg = Config(SEGMENTOR)
    cfg.merge_from_dict(changes)
    other_config, _ = made(cfg, other)
    check(checkout, file, one, other_config, weights, error='differ by more than tolerance=0.0001')


@pytest.mark.exhaustive
def test_changes_of_two_scenes(tmp_path, checkout) -> None:
    """A file of six bands."""
    config, weights = made(CHANGE, tmp_path)
    file = tmp_path / 'change.onnx'
    export_model(segmentor(config, weights), file, deepness=Deepness(CM, overlap=0))
    pixels = images(1, 64, 128, bands=6)[0].numpy()
    dates = scene(tmp_path / 'a.tif', pixels[:3]), scene(tmp_path / 'b.tif', pixels[3:])
    said = check(checkout, file, *dates, config, weights)
    assert 'unchanged, changed; tiles of 64 pixels, overlap 0' in said
    assert 'and 0 pixels have another class' in said
    # without overlap the plugin joins the same tiles
    assert 'Deepness: 100.00% of pixels' in said


@pytest.mark.exhaustive
@pytest.mark.parametrize('suffix', ['.onnx', '.pt2'])
def test_segmentors_of_any_size(tmp_path, suffix) -> None:
    model = segmentor(*made(SEGMENTOR, tmp_path))
    file = tmp_path / f'land{suffix}'
    assert export_model(model, file, dynamic=True) < 1e-4
    if suffix == '.onnx':
        x = images(2, 101, 70)
        with torch.no_grad():
            assert largest(model(x), file, x) < 1e-4


@pytest.mark.exhaustive
@pytest.mark.parametrize('suffix', ['.onnx', '.pt2'])
@pytest.mark.parametrize(('settings', 'load'), [(CHANGE, segmentor), (FCOS, detector)])
def test_sizes_in_steps(tmp_path, suffix, settings, load) -> None:
    """Where a pyramid has a fifth level."""
    model = load(*made(settings, tmp_path))
    file = tmp_path / f'model{suffix}'
    assert export_model(model, file, (128, 192), dynamic=True) < 1e-4
    if suffix == '.onnx':
        x = images(2, 256, 128, bands=model.bands)
        with torch.no_grad():
            assert largest(model(x), file, x) < 1e-4


@pytest.mark.parametrize(
    ('settings', 'load', 'name', 'options', 'message'),
    [
        (SEGMENTOR, segmentor, 'a.pt2', {}, 'it reads ONNX files'),
        (SEGMENTOR, segmentor, 'a.onnx', dict(dynamic=True), 'which must not be open'),
        (SEGMENTOR, segmentor, 'a.onnx', dict(size=(64, 96)), 'its tiles are square'),
        (CLASSIFIER, classifier, 'a.onnx', {}, 'it runs segmentors'),
        (FCOS, detector, 'a.onnx', {}, 'it runs segmentors'),
    ],
)
def test_files_that_deepness_cannot_use(tmp_path, settings, load, name, options, message) -> None:
    model = load(*made(settings, tmp_path))
    with pytest.raises(ValueError, match=f'{name} cannot be used with Deepness: .*{message}'):
        export_model(model, tmp_path / name, **options, deepness=Deepness(CM))
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(resolution=0.0), 'resolution is 0.0; give the centimeters'),
        (dict(resolution=CM, overlap=60), 'overlap is 60; give 0 to 50 percent'),
    ],
)
def test_numbers_that_deepness_cannot_use(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Deepness(**options)


@pytest.mark.parametrize('size', [(64, 128), (128, 150)])
def test_open_sizes_beside_the_steps(tmp_path, size) -> None:
    model = segmentor(*made(CHANGE, tmp_path))
    with pytest.raises(ValueError, match='left open from 128 pixels on, in steps of 64'):
        export_model(model, tmp_path / 'a.onnx', size, dynamic=True)
