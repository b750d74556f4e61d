"""Small folders of shards."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image

from mmdynamicvis.pretraining.region_shards import Shard, ShardIndex

CLASSES = ('airport', 'dam', 'zoo')


def image_bytes(pixels: object = (200, 100, 0)) -> bytes:
    """Return a JPEG of pixels (H, W, 3), R, G, B; a single pixel is repeated to (16, 24, 3)."""
    pixels = np.asarray(pixels, dtype=np.uint8)
    file = io.BytesIO()
    whole = pixels if pixels.ndim == 3 else np.broadcast_to(pixels, (16, 24, 3))
    Image.fromarray(whole).save(file, 'JPEG', quality=95)
    return file.getvalue()


def regions_bytes(boxes: Sequence = ((2, 3, 12, 13),), labels: Sequence = ('dam',)) -> bytes:
    return json.dumps({'gt_bboxes': boxes, 'gt_bboxes_labels': labels}).encode()


def write_tar(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(path, 'w') as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_shards(
    folder: Path, counts: Sequence[int] = (5, 3, 8), size: tuple[int, int] = (24, 16), seed: int = 0
) -> Path:
    """Write shards of so many samples of random pixels, boxes and labels, and their index.

    Images are of ``size`` (width, height), some without boxes. The key of the first sample of the
    first shard is '00_000'.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    shards = []
    for number, count in enumerate(counts):
        files = []
        for i in range(count):
            n_boxes = int(rng.integers(0, 4))
            corners = rng.uniform(0, 1, (n_boxes, 2, 2)) * size
            boxes = np.sort(corners, axis=1).reshape(-1, 4)
            key = f'{number:02d}_{i:03d}'
            files.append((f'{key}.jpg', image_bytes(rng.integers(0, 256, (size[1], size[0], 3)))))
            labels = rng.choice(CLASSES, n_boxes).tolist()
            files.append((f'{key}.json', regions_bytes(boxes.tolist(), labels)))
        path = folder / f'{number:06d}.tar'
        write_tar(path, files)
        shards.append(Shard(path.name, count, num_bytes=path.stat().st_size))
    ShardIndex(tuple(shards), CLASSES, {'made': 'by tests'}).write(folder)
    return folder


def write_one(folder: Path, *files: tuple[str, bytes], num_samples: int = 1) -> Path:
    """Write a single shard of these files, and its index."""
    folder.mkdir(parents=True)
    write_tar(folder / '000000.tar', files)
    ShardIndex((Shard('000000.tar', num_samples),), CLASSES).write(folder)
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over http; gives its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
