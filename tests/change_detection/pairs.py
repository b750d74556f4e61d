"""Makes pairs of images with squares that appear, and the masks of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def make_pair(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two (H, W, 3) uint8 images of one place and the (H, W) bool mask of what is new."""
    rng = np.random.default_rng(seed)
    before = rng.integers(60, 120, (*size, 3), dtype=np.uint8)
    after, mask = before.copy(), np.zeros(size, bool)
    for _ in range(3):
        y, x = (int(rng.integers(0, length - 8)) for length in size)
        after[y : y + 8, x : x + 8] = 230
        mask[y : y + 8, x : x + 8] = True
    return before, after, mask


def write_pairs(
    folder: Path, names: list[str], size: tuple[int, int] = (64, 64), high: int = 255
) -> None:
    """Write A/, B/, label/ and list/all.txt.

    Args:
        folder: Where to.
        names: Names of the pairs, without ending.
        size: Height and width.
        high: Value of change in the masks.
    """
    for part in ('A', 'B', 'label', 'list'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        before, after, mask = make_pair(size, seed)
        Image.fromarray(before).save(folder / f'A/{name}.png')
        Image.fromarray(after).save(folder / f'B/{name}.png')
        Image.fromarray(mask.astype(np.uint8) * high).save(folder / f'label/{name}.png')
    (folder / 'list/all.txt').write_text(''.join(f'{name}.png\n' for name in names))


def make_cover(size: tuple[int, int], seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the land cover of two dates, (H, W) uint8 from 1 on where it changed, 0 elsewhere."""
    rng = np.random.default_rng(seed)
    changed = make_pair(size, seed)[2]
    first = rng.integers(1, classes, size).astype(np.uint8)
    second = (first - 1 + rng.integers(1, classes - 1, size)) % (classes - 1) + 1
    return first * changed, second.astype(np.uint8) * changed


def write_second(
    folder: Path,
    names: list[str],
    palette: list[tuple[int, int, int]] | None,
    classes: int = 7,
    size: tuple[int, int] = (64, 64),
) -> None:
    """Write a part of SECOND: im1/, im2/, label1/, label2/.

    Args:
        folder: Folder of the part, such as ``SECOND/train``.
        names: Names of the pairs, without ending.
        palette: Colors of the classes; None writes class indices.
        classes: Number of classes, with that of no change.
        size: Height and width.
    """
    for part in ('im1', 'im2', 'label1', 'label2'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        before, after, _ = make_pair(size, seed)
        for date, image, cover in zip(
            '12', (before, after), make_cover(size, seed, classes), strict=True
        ):
            Image.fromarray(image).save(folder / f'im{date}/{name}.png')
            colored = cover if palette is None else np.array(palette, np.uint8)[cover]
            Image.fromarray(colored).save(folder / f'label{date}/{name}.png')
