"""Change between two rasters of any size, in tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.structures import SegDataSample

from .models import let_half_change, small_model

rasterio = pytest.importorskip('rasterio')

from rasterio.windows import Window  # noqa: E402

from mmdynamicvis.scenes import Pace, infer_scene  # noqa: E402  (needs rasterio)

PLACE = dict(crs='EPSG:2193', transform=rasterio.transform.from_origin(1570000, 5180000, 0.2, 0.2))
QUIET = Pace(progress=False)


@pytest.fixture
def trained(tmp_path) -> tuple[str, str]:
    """Write the config and the checkpoint of a small model."""
    pipeline = [
        dict(type='mmdynamicvis.LoadPair'),
        dict(type='mmdynamicvis.LoadAnnotationsToBinary'),
        dict(type='PackSegInputs'),
    ]
    cfg = Config(
        dict(
            default_scope='mmseg',
            model=small_model(),
            test_dataloader=dict(
                dataset=dict(type='mmdynamicvis.ChangeDataset', pipeline=pipeline)
            ),
        )
    )
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    model = build()
    let_half_change(model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    return str(tmp_path / 'config.py'), str(tmp_path / 'weights.pth')


def build() -> torch.nn.Module:
    init_default_scope('mmseg')
    return MODELS.build(small_model()).eval()


def predict(checkpoint: str, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the (H, W) classes of a pair of (3, H, W) R, G, B images."""
    inputs = torch.from_numpy(np.concatenate([before[::-1], after[::-1]]))
    shape = inputs.shape[1:]
    sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))
    model = build()
    model.load_state_dict(torch.load(checkpoint))
    (result,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    return result.pred_sem_seg.data[0].numpy()


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (3, height, width), np.uint8)


def write(path: Path, image: np.ndarray, **profile) -> str:
    shape = dict(zip(('count', 'height', 'width'), image.shape, strict=True))
    profile = {**PLACE, **shape, **profile}
    with rasterio.open(path, 'w', driver='GTiff', dtype='uint8', **profile) as file:
        file.write(image)
    return str(path)


def test_map_of_change_lies_where_the_rasters_do(tmp_path, trained):
    before, after = noise(96, 128, 0), noise(96, 128, 1)
    before[:, :10] = 0
    after[:, :, :20] = 0
    dates = [write(tmp_path / f'{i}.tif', x, nodata=0) for i, x in enumerate((before, after))]
    infer_scene(dates, tmp_path / 'change.tif', *trained, tile=128, pace=QUIET)
    with rasterio.open(tmp_path / 'change.tif') as file:
        assert (file.crs.to_string(), file.transform) == (PLACE['crs'], PLACE['transform'])
        assert (file.dtypes, file.nodata) == (('uint8',), 255)
        change = file.read(1)
    expected = predict(trained[1], before, after)
    assert 0.01 < expected.mean() < 0.99
    # without data at one date there is no change to be known
    expected[:10] = expected[:, :20] = 255
    assert (change == expected).all()


@pytest.mark.exhaustive
def test_pair_of_the_size_of_whu_cd_fits_into_four_gigabytes(tmp_path, trained, checkout):
    """The first 200 of 3400 tiles: two rows of them are blended into a row of blocks."""
    height, width = 15354, 32507
    shape = dict(height=height, width=width, count=3, nodata=0, **PLACE)
    blocks = dict(tiled=True, blockxsize=512, blockysize=512, compress='deflate', sparse_ok=True)
    dates = [str(tmp_path / f'{date}.tif') for date in range(2)]
    for date, path in enumerate(dates):
        with rasterio.open(path, 'w', driver='GTiff', dtype='uint8', **shape, **blocks) as file:
            # the rest has no data, and does not reach the model
            for left in (0, 768, width - 512):
                file.write(noise(512, 512, date), window=Window(left, 0, 512, 512))
    output = tmp_path / 'change.tif'
    command = [sys.executable, checkout / 'tools/infer_scene.py', *dates, output, *trained]
    command += ['--tile', 512, '--overlap', 128, '--max-tiles', 200]
    with (tmp_path / 'log').open('w') as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (tmp_path / 'log').read_text()
    assert usage.ru_maxrss < 4 * 2**20  # kB
    assert not output.exists()
    assert len(list((tmp_path / 'change.tif.work').glob('block-*'))) == 64
