"""Land cover of real tiles from three sensors, learned by heart, and what is left without one."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import rasterio
from mmengine.config import Config
from overfitting import train
from rasterio.windows import Window

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.shared_data]

CONFIG = 'upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
FOLDERS = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM', seg_map_path='LULC')
SIZE = 64
PLACES = ((0, 0), (128, 96))


def write_windows(source: Path, target: Path) -> None:
    """Write two windows of each tile, for all sensors and the labels."""
    for folder in FOLDERS.values():
        (target / folder).mkdir()
        for path in sorted((source / folder).glob('*.tif')):
            with rasterio.open(path) as file:
                for i, (x, y) in enumerate(PLACES):
                    window = Window(x, y, SIZE, SIZE)
                    profile = {
                        **file.profile,
                        **dict(width=SIZE, height=SIZE, transform=file.window_transform(window)),
                        **dict(tiled=False, blockysize=1),
                    }
                    with rasterio.open(target / folder / f'{path.stem}_{i}.tif', 'w', **profile) as to:
                        to.write(file.read(window=window))


def test_land_cover_from_any_of_three_sensors(shared_data, checkout, tmp_path):
    write_windows(shared_data / 'terramind_tiles', tmp_path)
    cfg = Config.fromfile(checkout / 'configs/segmentation' / CONFIG)
    cfg.model.backbone.update(
        arch=dict(embed_dims=(32, 48, 64, 96), depths=(1, 1, 1, 1)), strides=(int(os.environ["STRIDE"]), 2, 2, 2), patch_sizes=(3,3,3,3)
    )
    cfg.model.neck.update(in_channels=(32, 48, 64, 96), cells=tuple(10.0 * int(os.environ["STRIDE"]) * 2**i for i in range(4)), drop=float(os.environ["DROP"]))
    cfg.train_dataloader.batch_size = 4
    dataset = dict(data_root=str(tmp_path), data_prefix=FOLDERS)
    import time; t=time.time()
    runner = train(cfg, dataset, {}, tmp_path / 'log', steps=int(os.environ["STEPS"]), lr=float(os.environ["LR"]))
    print('TRAIN', time.time()-t)
    scores = {'all': runner.val()['mFscore']}
    for name in ('sentinel2', 'sentinel1', 'dem'):
        loader = copy.deepcopy(runner.cfg.val_dataloader)
        loader.dataset.data_prefix.pop(name)
        runner.val_loop.dataloader = runner.build_dataloader(loader)
        scores[name] = runner.val_loop.run()['mFscore']
    print('SCORES', scores)
