"""Throughput of infer_archive with several workers, compared with infer_scene one by one.

    python tools/benchmark/archive.py CONFIG CHECKPOINT --scenes 8 --side 1024 --workers 1 2

Prints seconds and ratios; all are measured in one run, because the speed of a machine that other
work shares changes from run to run. Workers have one thread each. The speed-up counts the seconds
that workers spend in scenes: it leaves out their start, and the end, where some have no scene left.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin

from mmdynamicvis.archive import cluster, infer_archive
from mmdynamicvis.scenes import Pace, SceneModel, infer_scene


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint', nargs='?')
    parser.add_argument('--scenes', type=int, default=8)
    parser.add_argument('--side', type=int, default=1024, help='pixels (%(default)s)')
    parser.add_argument('--tile', type=int, default=256)
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 2])
    return parser.parse_args()


def write_scenes(folder: Path, count: int, side: int) -> list[Path]:
    paths = [folder / f'{number:04}.tif' for number in range(count)]
    pixels = np.random.default_rng(0).integers(1, 255, (3, side, side), dtype=np.uint8)
    for number, path in enumerate(paths):
        place = dict(crs='EPSG:32630', transform=from_origin(5e5 + number * side, 53e5, 1, 1))
        shape = dict(count=3, height=side, width=side, dtype='uint8')
        with rasterio.open(path, 'w', driver='GTiff', tiled=True, **shape, **place) as file:
            file.write(np.roll(pixels, 100 * number, axis=2))
    return paths


def main() -> None:
    args = parse_args()
    os.environ.setdefault('RAY_worker_niceness', '0')  # as the process of infer_scene
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'in').mkdir()
        paths = write_scenes(folder / 'in', args.scenes, args.side)
        model = SceneModel(args.config, args.checkpoint, 'cpu')
        suffix = '.gpkg' if model.finds == 'objects' else '.tif'
        pace = Pace(progress=False)
        begin = time.perf_counter()
        for path in paths:
            output = folder / f'{path.stem}{suffix}'
            infer_scene(path, output, model, tile=args.tile, pace=pace)
        alone = time.perf_counter() - begin
        megapixels = args.scenes * args.side**2 / 1e6
        print(f'infer_scene: {alone:.1f} s, {megapixels / alone:.3f} megapixels/s')
        with cluster('local', max(args.workers)):
            for workers in args.workers:
                begin = time.perf_counter()
                out = folder / f'out{workers}'
                made = infer_archive(
                    folder / 'in',
                    out,
                    args.config,
                    args.checkpoint,
                    workers=workers,
                    tile=args.tile,
                )
                whole = time.perf_counter() - begin
                assert made.done == args.scenes, made.failed
                rows = geopandas.read_parquet(made.index)
                busy = rows['seconds'].sum()
                print(
                    f'{workers} workers: {whole:.1f} s with the start of the workers, '
                    f'{busy:.1f} s in scenes ({busy / alone:.2f} of infer_scene), '
                    f'speed-up without start and end {alone / busy * workers:.2f}'
                )


if __name__ == '__main__':
    main()
