"""Change and the land cover of both dates of two rasters: a file of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.structures import SegDataSample
from running import run_tool

from .models import small_multi_task
from .test_scene import PLACE, QUIET, noise, write

rasterio = pytest.importorskip('rasterio')

from mmdynamicvis.scenes import SceneModel, infer_scene  # noqa: E402  (needs rasterio)

NAMES = ['change', 'semantic_from', 'semantic_to']
COVER = dict(
    classes=('unchanged', 'water', 'tree', 'building'),
    palette=[(255, 255, 255), (0, 0, 255), (0, 255, 0), (128, 0, 0)],
)
CHANGE = dict(classes=('unchanged', 'changed'), palette=[(0, 0, 0), (255, 255, 255)])


def config(folder: Path, maps: dict) -> str:
    """Write the config of a small model, whose dataset has these maps."""
    pipeline = [
        dict(type='mmdynamicvis.LoadPair'),
        dict(type='mmdynamicvis.LoadPairLabels'),
        dict(type='mmdynamicvis.PackLabelMaps'),
    ]
    dataset = dict(type='mmdynamicvis.SECOND', metainfo=dict(maps=maps), pipeline=pipeline)
    cfg = Config(
        dict(
            default_scope='mmseg',
            model=small_multi_task(),
            test_dataloader=dict(dataset=dataset),
        )
    )
    cfg.dump(folder / 'config.py')
    return str(folder / 'config.py')


def random_model(folder: Path) -> torch.nn.Module:
    """Return a model that finds change in half of a pair, and write its weights."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(small_multi_task()).eval()
    for head in model.decode_head.values():
        torch.nn.init.normal_(head.conv_seg.weight)
    sample = predict(model, noise(96, 128, 0), noise(96, 128, 1))
    unchanged, changed = sample.change_logits.data
    model.decode_head['change'].conv_seg.bias.data[1] -= (changed - unchanged).median()
    torch.save(model.state_dict(), folder / 'weights.pth')
    return model


@pytest.fixture
def model(tmp_path) -> torch.nn.Module:
    return random_model(tmp_path)


@torch.no_grad()
def predict(model: torch.nn.Module, before: np.ndarray, after: np.ndarray) -> SegDataSample:
    """Return the model's own prediction of a pair of (3, H, W) R, G, B images."""
    inputs = torch.from_numpy(np.concatenate([before[::-1], after[::-1]]))
    shape = tuple(inputs.shape[1:])
    sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))
    return model.test_step(dict(inputs=[inputs], data_samples=[sample]))[0]


def write_dates(folder: Path, size: tuple[int, int]) -> tuple[list[str], list[np.ndarray]]:
    images = [noise(*size, seed) for seed in range(2)]
    images[0][:, :10] = 0
    paths = [write(folder / f'{i}.tif', image, nodata=0) for i, image in enumerate(images)]
    return paths, images


def test_a_window_is_what_the_model_predicts(tmp_path, model):
    path = config(tmp_path, dict(change=CHANGE, semantic_from=COVER, semantic_to=COVER))
    dates, images = write_dates(tmp_path, (96, 128))
    outputs = infer_scene(
        dates, tmp_path / 'maps.tif', path, tmp_path / 'weights.pth', tile=128, pace=QUIET
    )
    assert outputs == [tmp_path / f'maps_{name}.tif' for name in NAMES]
    expected = predict(model, *images)
    for name, output in zip(NAMES, outputs, strict=True):
        classes = expected.get(f'pred_{name}').data[0].numpy()
        assert 0.05 < (classes > 0).mean() < 0.95
        classes[:10] = 255
        with rasterio.open(output) as file:
            assert (file.crs.to_string(), file.transform) == (PLACE['crs'], PLACE['transform'])
            assert (file.dtypes, file.nodata, file.descriptions) == (('uint8',), 255, (name,))
            palette = (CHANGE if name == 'change' else COVER)['palette']
            assert [file.colormap(1)[i][:3] for i in range(len(palette))] == palette
            assert (file.read(1) == classes).all()


@pytest.mark.slow
def test_the_command_continues_and_names_all_files(tmp_path, model, checkout):
    path = config(tmp_path, dict(change=CHANGE, semantic_from=COVER, semantic_to=COVER))
    dates, _ = write_dates(tmp_path, (96, 160))
    arguments = (*dates, tmp_path / 'maps.tif', path, tmp_path / 'weights.pth', '--tile', '64')
    part = ['the part is predicted; the same command without --part writes the output']
    wrote = [f'wrote {tmp_path}/maps_{name}.tif' for name in NAMES]
    # the only row of blocks is the second part's
    for options, said in ((['--part', '1', '2', '--max-tiles', '3'], part), ([], wrote)):
        result = run_tool(checkout / 'tools/infer_scene.py', *arguments, *options)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-len(said) :] == said
    maps = []
    for name in NAMES:
        with rasterio.open(tmp_path / f'maps_{name}.tif') as file:
            maps.append(file.read(1))
    # blended windows agree about where there is a land cover
    change, *covers = maps
    for cover in covers:
        assert ((cover > 0) & (cover < 255) == (change == 1)).all()
        assert ((cover == 255) == (change == 255)).all()


@pytest.mark.parametrize(
    ('maps', 'message'),
    [
        (dict(change=CHANGE), r"does not define the map 'semantic_from': give its classes"),
        (
            dict(change=CHANGE, semantic_from=COVER, semantic_to=CHANGE),
            r"'semantic_to' has 2 classes .* must have 1 logits, and it has 3",
        ),
    ],
)
def test_maps_need_their_classes(tmp_path, model, maps, message):
    path = config(tmp_path, maps)
    with pytest.raises(ValueError, match=message):
        _ = SceneModel(path, tmp_path / 'weights.pth').maps
