"""Measure inference on a scene of 40,000 x 40,000 pixels: memory above the model, time per tile.

    python tools/benchmark/scenes.py --out benchmarks/results/scenes_cpu.json

The GeoTIFF is sparse: only its first rows of blocks have data, so that the model gets a limited
number of tiles, while the whole scene is read, blended and written. The time for a scene with data
everywhere is projected. The model has random weights, which does not affect time or memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from measure import resident_mb
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rasterio.transform import from_origin
from rasterio.windows import Window
from record import Record

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.scenes import Pace, Scene, SceneModel, segment_scene
from mmdynamicvis.scenes.grid import Grid

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/segmentation/upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px.py'
BLOCK = 512


def make_scene(path: Path, side: int, rows: int) -> None:
    """Write a sparse GeoTIFF with noise in its first rows of blocks."""
    profile = dict(height=side, width=side, count=3, dtype='uint8', nodata=0, crs='EPSG:32630')
    profile |= dict(tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress='deflate')
    transform = from_origin(500000, 5000000, 0.5, 0.5)
    block = np.random.default_rng(0).integers(1, 255, (3, BLOCK // 8, BLOCK // 8), np.uint8)
    block = np.kron(block, np.ones((1, 8, 8), np.uint8))
    with rasterio.open(path, 'w', transform=transform, sparse_ok=True, **profile) as file:
        for top in range(0, rows * BLOCK, BLOCK):
            for left in range(0, side, BLOCK):
                width = min(BLOCK, side - left)
                file.write(block[:, :, :width], window=Window(left, top, width, BLOCK))


def make_checkpoint(config: Path, path: Path) -> None:
    """Write random weights for a config's model."""
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    save_weights(model.state_dict(), path)


class Watched:
    """A model that records its number of windows, its seconds, and when it last finished."""

    def __init__(self, model: SceneModel) -> None:
        self.model = model
        self.windows = 0
        self.seconds = 0.0
        self.done = 0.0

    def __call__(self, windows: list) -> list[np.ndarray]:
        """Return the logits of the model."""
        start = time.perf_counter()
        logits = self.model.logits(windows)
        self.done = time.perf_counter()
        self.seconds += self.done - start
        self.windows += len(windows)
        return logits


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Segment a synthetic scene; return time and memory."""
    make_scene(folder / 'scene.tif', args.side, args.rows)
    make_checkpoint(args.config, folder / 'random.safetensors')
    model = SceneModel(args.config, folder / 'random.safetensors', 'cpu')
    window = [np.zeros((args.tile, args.tile, 3), np.float32)]
    model.logits([window])  # loads libraries and allocates workspaces
    reset_peak()
    model.logits([window])
    of_model = resident_mb('VmHWM')
    reset_peak()

    watched = Watched(model)
    start = time.perf_counter()
    with Scene(folder / 'scene.tif', LoadGeoTIFF(**model.reading())) as scene:
        output = segment_scene(
            scene,
            watched,
            folder / 'out.tif',
            model.classes,
            tile=args.tile,
            overlap=args.tile // 4,
            pace=Pace(readers=args.readers),
        )
    end = time.perf_counter()
    tiles = len(Grid(args.side, args.side, args.tile, args.tile // 4))
    # tiles with data come first
    per_tile = (watched.done - start) / watched.windows
    return {
        'side (px)': args.side,
        'tile (px)': args.tile,
        'tiles': tiles,
        'tiles with data': watched.windows,
        'seconds': end - start,
        'seconds per tile with data': per_tile,
        'of these in the model': watched.seconds / watched.windows,
        'projected hours with data everywhere': per_tile * tiles / 3600,
        'model and one window (MB)': of_model,
        'peak above (MB)': resident_mb('VmHWM') - of_model,
        'input (MB)': (folder / 'scene.tif').stat().st_size / 2**20,
        'output (MB)': output.stat().st_size / 2**20,
    }


def reset_peak() -> None:
    """Reset the peak of resident memory of this process (Linux)."""
    Path('/proc/self/clear_refs').write_text('5')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', type=Path, default=CHECKOUT / CONFIG, help='config of mmseg')
    parser.add_argument('--side', type=int, default=40_000, help='pixels of a side (%(default)s)')
    parser.add_argument('--rows', type=int, default=1, help='block rows with data (%(default)s)')
    parser.add_argument('--tile', type=int, default=512, help='pixels of a tile (%(default)s)')
    parser.add_argument('--readers', type=int, default=2, help='reading threads (%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='model threads (%(default)s)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    record = Record(args.out, 'cpu')
    record.note('config', args.config.name)
    with tempfile.TemporaryDirectory() as folder:
        row = record.add(**measure(Path(folder), args))
    for name, value in row.items():
        print(f'{name}: {value:.4g}')


if __name__ == '__main__':
    main()
