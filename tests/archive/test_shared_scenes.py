"""Real scenes and 200 made ones of 512 to 20,000 px on two nodes, with kill -9 in the middle.

The model is small and fast, so that what is proven is the reading, splitting, blending and writing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rasterio.transform import from_origin

pytest.importorskip('ray')

from mmdynamicvis.fileio import digest
from mmdynamicvis.scenes import Pace, SceneModel, infer_scene

from .test_infer_archive import kill_a_worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.shared_data,
    pytest.mark.timeout(3600),
]

REAL = [
    'large_scenes/naip_composite_4670x4338_jpeg.tif',
    'neon_trees/OSBS_029.tif',
    'neon_trees/2018_SJER_3_252000_4107000_image_477.tif',
    'spacenet_solaris/rgb_unmasked.tif',
]
NAIP = ['m_4709963_se_14_1_20090818.tif', 'm_4709963_se_14_1_20180716.tif']
SIDES = [20000, 6000, 5000, 4000, 4000, *np.linspace(512, 1500, 195, dtype=int).tolist()]
BLOCK = 512
OPTIONS = dict(tile=1024, overlap=128)
WIDTH = 8
"""Channels of the model."""


def write_model(folder: Path) -> tuple[str, str]:
    """Write config and weights of a Fast-SCNN of few channels, which is 60 windows per second."""
    norm, width = dict(type='BN'), WIDTH
    common = dict(norm_cfg=norm, align_corners=False)
    backbone = dict(
        type='FastSCNN',
        downsample_dw_channels=(width, width),
        global_in_channels=width,
        global_block_channels=(width, width, width),
        global_out_channels=width,
        higher_in_channels=width,
        lower_in_channels=width,
        fusion_out_channels=width,
    )
    head = dict(type='FCNHead', in_channels=width, channels=width, num_convs=0, num_classes=2)
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[100] * 3, std=[50] * 3),
        backbone=dict(**backbone, **common),
        decode_head=dict(**head, in_index=-1, concat_input=False, **common),
        test_cfg=dict(mode='whole'),
    )
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    dataset = dict(
        type='BaseSegDataset', metainfo=dict(classes=('dark', 'bright')), pipeline=pipeline
    )
    cfg = Config(dict(default_scope='mmseg', model=model, test_dataloader=dict(dataset=dataset)))
    cfg.dump(folder / 'config.py')
    init_default_scope('mmseg')
    torch.manual_seed(0)
    torch.save(MODELS.build(model).state_dict(), folder / 'weights.pth')
    return str(folder / 'config.py'), str(folder / 'weights.pth')


def write_scene(path: Path, side: int, number: int) -> None:
    """Write rectangles of random colors, block by block."""
    random = np.random.default_rng(number)
    profile = dict(count=3, height=side, width=side, dtype='uint8', crs='EPSG:32630')
    profile |= dict(tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress='deflate')
    place = from_origin(3e5 + 2e4 * (number % 20), 53e5 - 2e4 * (number // 20), 1, 1)
    with rasterio.open(path, 'w', driver='GTiff', transform=place, **profile) as file:
        for _, window in file.block_windows(1):
            colors = random.integers(1, 255, (3, BLOCK // 32, BLOCK // 32), dtype=np.uint8)
            pixels = np.kron(colors, np.ones((1, 32, 32), np.uint8))
            file.write(pixels[:, : window.height, : window.width], window=window)


def write_list(path: Path, scenes: list[Path]) -> Path:
    path.write_text('\n'.join(map(str, scenes)))
    return path


def test_equal_to_infer_scene(tmp_path, checkout, shared_data, two_machines) -> None:
    machines, _ = two_machines
    model = write_model(tmp_path)
    (tmp_path / 'in').mkdir()
    made = [tmp_path / f'in/{number:03}.tif' for number in range(len(SIDES))]
    for number, (path, side) in enumerate(zip(made, SIDES, strict=True)):
        write_scene(path, side, number)
    naip = [shared_data / f'large_scenes/naip/{name}' for name in NAIP]
    real = [shared_data / name for name in REAL]
    archives: dict[str, tuple[list[Path], dict[str, Any]]] = {
        'colors': ([*real, *made], {}),
        'infrared': (naip, dict(bands=(4, 1, 2))),
        'sentinel': (vrts(shared_data, tmp_path), dict(bands=(4, 3, 2), scaling=(800, 3000))),
    }

    def start(name: str) -> subprocess.Popen:
        scenes, options = archives[name]
        scenes = write_list(tmp_path / f'{name}.txt', scenes)
        command = [sys.executable, checkout / 'tools/infer_archive.py', scenes, tmp_path / name]
        command += [*model, '--address', machines.address, '--workers', 2]
        for option, value in dict(OPTIONS, **options).items():
            command += [f'--{option}', *(value if isinstance(value, tuple) else [value])]
        pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return subprocess.Popen(list(map(str, command)), **pipes)

    def finished() -> dict[Path, int]:
        files = (tmp_path / 'colors/scenes').glob('*.tif')
        return {path: path.stat().st_mtime_ns for path in files}

    def wait(process: subprocess.Popen, until: Callable[[], bool]) -> None:
        while not until():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.1)

    # parts of the largest scene come first
    process = start('colors')
    wait(process, lambda: len([*tmp_path.glob('colors/scenes/*.work/tile-*.npz')]) > 20)
    kill_a_worker()
    wait(process, lambda: len(finished()) > 20)
    process.kill()
    process.wait()
    before = finished()
    assert 20 < len(before) < len(SIDES)
    for name in archives:
        process = start(name)
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert before.items() <= finished().items()

    loaded = SceneModel(*model, 'cpu')
    for name, (scenes, options) in archives.items():
        for scene in scenes:
            output = tmp_path / 'alone.tif'
            pace = Pace(progress=False)
            infer_scene(scene, output, loaded, pace=pace, **OPTIONS, **options)
            written = tmp_path / name / 'scenes' / f'{scene.stem}.tif'
            assert digest(written) == digest(output), scene
            output.unlink()
        assert len([*(tmp_path / name / 'scenes').iterdir()]) == len(scenes)


def vrts(shared_data: Path, folder: Path) -> list[Path]:
    """Write a raster of red, green, blue and infrared of 10 m per date of Rennes in OSCD."""
    paths = []
    for date in (1, 2):
        bands = []
        for number, name in enumerate(['B02', 'B03', 'B04', 'B08'], 1):
            (source,) = (shared_data / f'oscd/images/rennes/imgs_{date}').glob(f'*_{name}.tif')
            bands.append(
                f'<VRTRasterBand dataType="UInt16" band="{number}"><SimpleSource>'
                f'<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand>'
            )
        with rasterio.open(source) as file:
            height, width = file.shape
            place, crs = ', '.join(map(str, file.transform.to_gdal())), file.crs
        path = folder / f'rennes_{date}.vrt'
        path.write_text(
            f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{crs}</SRS>'
            f'<GeoTransform>{place}</GeoTransform>{"".join(bands)}</VRTDataset>'
        )
        paths.append(path)
    return paths
