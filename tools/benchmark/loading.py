"""Measure how fast images are loaded and augmented for region pretraining, without a GPU.

    python tools/benchmark/loading.py --out benchmarks/results/loading_cpu.json

Shards of JPEG images are streamed by ``RegionStream`` through the training pipeline of fMoW, with
crops of 512 x 512 pixels, in the workers of a DataLoader. The lower bound, measured in alternation,
is the time in which the same number of workers only decode the same images. Images are synthetic
scenes of 512 x 512 pixels, or those in a folder.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import webdataset
from measure import medians
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from record import header, machine, packages, write_json
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from mmdynamicvis.pretraining.region_shards import Shard, ShardIndex

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tools, for the package beside this one
from synthetic import CATEGORIES, make_scene

CONFIG = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets/fmow_512px.py'
N_SHARDS = 8
N_BOXES = 4
"""Largest number of boxes per image; most images of fMoW have one or two."""
LIMITS = {'samples / s': 300}

Stored = dict[str, Any]


def synthetic(n_images: int) -> Iterator[Stored]:
    """Yield synthetic scenes with the boxes of a few of their objects."""
    for number in tqdm(range(n_images), desc='making scenes'):
        index, category = divmod(number, len(CATEGORIES))
        scene = make_scene(CATEGORIES[category], index, size=512)
        corners = [thing.corners for thing in scene.objects[:N_BOXES]]
        yield sample(
            jpeg(Image.fromarray(scene.image)),
            [[*box.min(0).tolist(), *box.max(0).tolist()] for box in corners],
        )


def from_folder(folder: Path, n_images: int) -> Iterator[Stored]:
    """Yield JPEG files unchanged, each with the whole image as a box."""
    paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in ('.jpg', '.jpeg'))
    if not paths:
        raise FileNotFoundError(f'{folder} has no .jpg images')
    for path in paths[:n_images]:
        with Image.open(path) as image:
            yield sample(path.read_bytes(), [[0, 0, *image.size]])


def jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, 'JPEG', quality=90)
    return file.getvalue()


def sample(image: bytes, boxes: list[list[float]]) -> Stored:
    return {'jpg': image, 'json': {'gt_bboxes': boxes, 'gt_bboxes_labels': ['thing'] * len(boxes)}}


def write_shards(folder: Path, samples: list[Stored], n_samples: int) -> None:
    """Write ``n_samples`` samples, repeating the given ones."""
    repeated = itertools.cycle(samples)
    shards = []
    for number in range(N_SHARDS):
        shard = Shard(f'{number:06d}.tar', n_samples // N_SHARDS)
        with webdataset.TarWriter(str(folder / shard.name)) as tar:
            for i in range(shard.num_samples):
                tar.write({'__key__': f'{number}_{i}', **next(repeated)})
        shards.append(shard)
    ShardIndex(tuple(shards), ('thing',)).write(folder)


class Decoding(IterableDataset):
    """Decodes JPEG images and discards them."""

    def __init__(self, images: list[bytes], n_samples: int) -> None:
        self.images = images
        self.n_samples = n_samples

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        for number in range(info.id, self.n_samples, info.num_workers):
            with Image.open(BytesIO(self.images[number % len(self.images)])) as image:
                yield len(np.asarray(image))


def stream(folder: Path, batch_size: int, workers: int) -> Callable[[], None]:
    """Return a function that runs through the next epoch."""
    config = Config.fromfile(CONFIG)
    init_default_scope('mmdet')
    dataset, collate_fn = (config.train_dataloader[name] for name in ('dataset', 'collate_fn'))
    dataset.update(shards=str(folder), metainfo=dict(classes=['thing']))
    loader = Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=workers,
            persistent_workers=True,
            sampler=None,
            dataset=dataset,
            collate_fn=collate_fn,
        )
    )
    epochs = itertools.count()

    def run() -> None:
        loader.dataset.set_progress(next(epochs), 0, batch_size)
        exhaust(loader)

    return run


def exhaust(loader: DataLoader) -> None:
    for _ in loader:
        pass


def measure(args: argparse.Namespace) -> dict[str, float]:
    made = from_folder(args.images, args.n_images) if args.images else synthetic(args.n_images)
    samples = list(made)
    images = [one['jpg'] for one in samples]
    n_samples = args.samples // N_SHARDS * N_SHARDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder, samples, n_samples)
        decoding = DataLoader(
            Decoding(images, n_samples),
            args.batch_size,
            num_workers=args.workers,
            persistent_workers=True,
        )
        runs = {
            'samples / s': stream(folder, args.batch_size, args.workers),
            'decoded / s': lambda: exhaust(decoding),
        }
        seconds = medians(runs, args.repeats)
    figures = {name: n_samples / value for name, value in seconds.items()}
    figures['share of decoding'] = seconds['decoded / s'] / seconds['samples / s']
    figures['bytes per image'] = sum(map(len, images)) / len(images)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=Path, help='folder of JPEG images to use instead')
    parser.add_argument('--n-images', type=int, default=24, help='different images (default: 24)')
    parser.add_argument('--samples', type=int, default=1024, help='per epoch (default: 1024)')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--repeats', type=int, default=5, help='epochs per median (default: 5)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    args = parser.parse_args()
    if args.samples < N_SHARDS or args.workers < 1 or args.n_images < 1:
        parser.error(f'at least {N_SHARDS} --samples, 1 of --workers and 1 of --n-images')
    # as in workers of mmengine's Runner, because there is already one process per core
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    figures = measure(args)
    for name, value in figures.items():
        limit = f'   figure to reach: {LIMITS[name]}' if name in LIMITS else ''
        print(f'{name:20} {value:10.2f}{limit}')
    if args.out:
        rounded = {name: round(value, 4) for name, value in figures.items()}
        description = machine(1) | packages() | {'workers': args.workers}
        write_json(args.out, header(description) | {'figures': rounded})


if __name__ == '__main__':
    main()
