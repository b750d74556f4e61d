"""A scene classification dataset of synthetic scenes, in the folder layout of real datasets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from synthetic.scenes import CATEGORIES, make_scene

__all__ = ['write_classification_dataset']

_MANIFEST = 'manifest.json'
# Increase with every change of the pictures, so that older datasets are not reused.
_REVISION = 1


def write_classification_dataset(
    root: str | Path,
    train_per_class: int,
    val_per_class: int,
    *,
    size: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write `<category>/<category>_NNNNN.png`, `train.txt`, `val.txt` and `manifest.json`.

    The lines of the split files are `<category>/<file> <class index>`, with classes in the order of
    `CATEGORIES`. The folder is written atomically; a complete one with equal arguments is reused.

    Args:
        root: Folder of the dataset.
        train_per_class: Number of training images of each category, at least 1.
        val_per_class: Number of validation images of each category, at least 1.
        size: Width and height of the images, pixels, at least 32.
        seed: Seed of the collection, from 0.
        progress: Called with the number of images written so far and the number of all images.

    Returns:
        True if the dataset was written, False if it existed already.

    Raises:
        ValueError: A number is too small.
        FileExistsError: A file, or a folder with other content, has this name.
    """
    if train_per_class < 1 or val_per_class < 1:
        raise ValueError(
            'train_per_class and val_per_class must be at least 1, '
            f'got {train_per_class} and {val_per_class}'
        )
    root = Path(root)
    manifest = {
        'revision': _REVISION,
        'classes': list(CATEGORIES),
        'train_per_class': train_per_class,
        'val_per_class': val_per_class,
        'size': size,
        'seed': seed,
    }
    if root.exists():
        _check_same(root, manifest)
        return False

    root.parent.mkdir(parents=True, exist_ok=True)
    partial = root.with_name(f'.{root.name}.{os.getpid()}.partial')
    partial.mkdir()
    try:
        _write(partial, manifest, progress)
        partial.rename(root)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return True


def _check_same(root: Path, manifest: dict) -> None:
    try:
        found = json.loads((root / _MANIFEST).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{root} exists and is no synthetic dataset (it has no readable {_MANIFEST}); '
            'remove it or choose another folder'
        ) from None
    differing = [key for key in manifest if found.get(key) != manifest[key]]
    if differing:
        differences = ', '.join(f'{k}: {found.get(k)} instead of {manifest[k]}' for k in differing)
        raise FileExistsError(
            f'{root} holds a synthetic dataset made with other arguments ({differences}); '
            'remove it or choose another folder'
        )


def _write(root: Path, manifest: dict, progress: Callable[[int, int], None] | None) -> None:
    train = manifest['train_per_class']
    jobs, lines = [], {'train': [], 'val': []}
    for label, category in enumerate(CATEGORIES):
        (root / category).mkdir()
        for index in range(train + manifest['val_per_class']):
            name = f'{category}/{category}_{index:05d}.png'
            jobs.append((root / name, category, index, manifest['size'], manifest['seed']))
            lines['train' if index < train else 'val'].append(f'{name} {label}\n')

    # spawn, because a fork of a process with threads (torch, OpenCV) may hang
    with ProcessPoolExecutor(os.cpu_count(), get_context('spawn')) as pool:
        for done, _ in enumerate(pool.map(_write_image, jobs, chunksize=8), start=1):
            if progress is not None:
                progress(done, len(jobs))
    for split, content in lines.items():
        (root / f'{split}.txt').write_text(''.join(content))
    (root / _MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n')


def _write_image(job: tuple[Path, str, int, int, int]) -> None:
    path, category, index, size, seed = job
    cv2.setNumThreads(0)  # there is already one process per core
    image = make_scene(category, index, size=size, seed=seed).image
    encoded, data = cv2.imencode('.png', np.ascontiguousarray(image[..., ::-1]))
    if not encoded:
        raise RuntimeError(f'OpenCV could not encode {path} as PNG')
    path.write_bytes(data.tobytes())
