r"""Throughput of infer_archive with several workers, compared with infer_scene one by one.

    python tools/benchmark/archive.py CONFIG CHECKPOINT --scenes 4 --side 4000 --workers 2 \
        --out benchmarks/results/archive_cpu.json

All times are measured in one run, because the speed of a machine that other work shares changes
from run to run. Workers have one thread each. As many processes that run infer_scene without Ray
show what the machine itself allows, whose cores may share caches, memory and power. Without
CHECKPOINT, weights are random.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Event, Thread

import geopandas
import numpy as np
import psutil
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from rasterio.transform import from_origin
from record import Record

from mmdynamicvis.archive import cluster, infer_archive
from mmdynamicvis.engine.config import use_scope
from mmdynamicvis.scenes import Pace, SceneModel, infer_scene

PACE = Pace(progress=False)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint', nargs='?')
    parser.add_argument('--scenes', type=int, default=4)
    parser.add_argument('--side', type=int, default=4000, help='pixels (%(default)s)')
    parser.add_argument('--tile', type=int, default=512)
    parser.add_argument('--workers', type=int, nargs='+', default=[2], help='beside 1 (2)')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
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


@contextmanager
def largest_process() -> Iterator[list[float]]:
    """Yield a list that will hold the largest resident set of a process below this one, in MB."""
    found, ended = [0.0], Event()

    def look() -> None:
        while not ended.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    found[0] = max(found[0], process.memory_info().rss / 1e6)

    thread = Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


class Process:
    """What a process without Ray does: it loads the model once and runs it on scenes."""

    model: SceneModel

    @classmethod
    def load(cls, config: str, checkpoint: str, loaded: Barrier) -> None:
        """Load the model, with one thread, and wait for the others."""
        torch.set_num_threads(1)
        cls.model = SceneModel(config, checkpoint, 'cpu')
        loaded.wait()

    @classmethod
    def infer(cls, path: Path, output: Path, tile: int) -> None:
        """Write the output of a scene."""
        infer_scene(path, output, cls.model, tile=tile, pace=PACE)


def seconds_without_ray(
    paths: list[Path], folder: Path, count: int, config: str, checkpoint: str, tile: int
) -> float:
    """Return the seconds that several processes need for all scenes, without their start."""
    folder.mkdir()
    context = get_context('spawn')
    loaded = context.Barrier(count + 1)
    with context.Pool(count, Process.load, (config, checkpoint, loaded)) as pool:
        tasks = [(path, folder / path.name, tile) for path in paths]
        loaded.wait()
        begin = time.perf_counter()
        pool.starmap(Process.infer, tasks, chunksize=1)
        return time.perf_counter() - begin


def random_weights(config: str, path: Path) -> str:
    cfg = Config.fromfile(config)
    use_scope(cfg)
    torch.manual_seed(0)
    torch.save(MODELS.build(cfg.model).state_dict(), path)
    return str(path)


def main() -> None:
    args = parse_args()
    os.environ.setdefault('RAY_worker_niceness', '0')  # as the process of infer_scene
    record = Record(args.out, 'cpu')
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = args.config, args.checkpoint or random_weights(args.config, folder / 'random.pth')
        (folder / 'in').mkdir()
        paths = write_scenes(folder / 'in', args.scenes, args.side)
        megapixels = args.scenes * args.side**2 / 1e6
        common = dict(scenes=args.scenes, side=args.side, tile=args.tile, megapixels=megapixels)

        def without_ray(count: int) -> float:
            return seconds_without_ray(paths, folder / f'p{count}', count, *model, args.tile)

        with largest_process() as memory_alone:
            alone = without_ray(1)
        with cluster('local', max(args.workers)):
            for count in sorted({1, *args.workers}):
                plain = alone if count == 1 else without_ray(count)
                begin = time.perf_counter()
                out = folder / f'out{count}'
                with largest_process() as memory:
                    made = infer_archive(
                        folder / 'in', out, *model, workers=count, tile=args.tile, pace=PACE
                    )
                whole = time.perf_counter() - begin
                assert made.done == args.scenes, made.failed
                busy = geopandas.read_parquet(made.index)['seconds'].sum()
                row = record.add(
                    **common,
                    workers=count,
                    without_ray_s=plain,
                    seconds_in_scenes=busy,
                    with_start_s=whole,
                    overhead=busy / count / plain - 1,
                    speedup=alone / busy * count,
                    speedup_without_ray=alone / plain,
                    megabytes=memory[0],
                    megabytes_without_ray=memory_alone[0],
                )
                print(
                    f'{count} workers: {busy:.1f} s in scenes, {whole:.1f} s with their start; '
                    f'without Ray {plain:.1f} s ({megapixels / plain:.3f} megapixels/s); '
                    f'speed-up {row["speedup"]:.2f}, without Ray {row["speedup_without_ray"]:.2f}; '
                    f'{memory[0]:.0f} MB, without Ray {memory_alone[0]:.0f} MB',
                    flush=True,
                )


if __name__ == '__main__':
    main()
