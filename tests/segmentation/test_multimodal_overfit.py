"""Land cover of real tiles from three sensors, learned by heart, and what is left without one."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import rasterio
from mmengine.config import Config
from overfitting import train
from rasterio.windows import Window

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.shared_data]

CONFIG = 'upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
FOLDERS = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM', seg_map_path='LULC')
WIDTHS = (32, 48, 64, 96)


def write_windows(source: Path, target: Path, size: int, places: list[tuple[int, int]]) -> None:
    """Write the windows of each tile at some places, for all sensors and the labels."""
    for folder in FOLDERS.values():
        (target / folder).mkdir()
        for path in sorted((source / folder).glob('*.tif')):
            with rasterio.open(path) as file:
                for i, (x, y) in enumerate(places):
                    window = Window(x, y, size, size)
                    place = dict(width=size, height=size, transform=file.window_transform(window))
                    profile = {**file.profile, **place, 'tiled': False, 'blockysize': 1}
                    output = target / folder / f'{path.stem}_{i}.tif'
                    with rasterio.open(output, 'w', **profile) as written:
                        written.write(file.read(window=window))


@pytest.mark.parametrize(
    ('size', 'places', 'steps', 'metric'),
    [
        (64, [(0, 0), (128, 96)], 400, 'mFscore'),
        # the F1 of all pixels is their accuracy; some classes of the whole tiles are small
        pytest.param(224, [(0, 0)], 600, 'aAcc', marks=pytest.mark.timeout(3600)),
    ],
    ids=['windows', 'tiles'],
)
def test_land_cover_with_and_without_each_sensor(
    shared_data, checkout, tmp_path, size, places, steps, metric
):
    """Tokens of 20 m, and modality dropout in training."""
    write_windows(shared_data / 'terramind_tiles', tmp_path, size, places)
    cfg = Config.fromfile(checkout / 'configs/segmentation' / CONFIG)
    small = dict(arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)))
    cfg.model.backbone.update(small, strides=(2, 2, 2, 2), patch_sizes=(3, 3, 3, 3))
    cfg.model.neck.update(in_channels=WIDTHS, cells=(20.0, 40.0, 80.0, 160.0), drop=0.4)
    cfg.train_dataloader.batch_size = 2 * len(places)
    dataset = dict(data_root=str(tmp_path), data_prefix=FOLDERS)
    runner = train(cfg, dataset, {}, tmp_path / 'log', steps=steps, lr=3e-3)
    scores = dict(none=runner.val()[metric])
    for name in ('sentinel2', 'sentinel1', 'dem'):
        loader = copy.deepcopy(runner.cfg.val_dataloader)
        del loader.dataset.data_prefix[name]
        runner.val_loop.dataloader = runner.build_dataloader(loader)
        scores[name] = runner.val_loop.run()[metric]
    assert min(scores.values()) >= 95, scores
