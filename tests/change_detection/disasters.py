"""Makes pairs of images before and after a disaster, in the layouts of xBD and BRIGHT."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SUBTYPES = ('no-damage', 'minor-damage', 'major-damage', 'destroyed')
ROOF = np.array([210, 205, 200], np.uint8)
AFTER = np.array([[210, 205, 200], [190, 60, 50], [60, 60, 190], [30, 25, 20]], np.uint8)
"""Color of a roof before, and after damage of each level."""


def make_disaster(size: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple]]:
    """Return two (H, W, 3) uint8 images and the buildings.

    Each level occurs. A building is (left, top, right, bottom, level), level from 1, its pixels
    those from left to right and top to bottom, both included.
    """
    rng = np.random.default_rng(seed)
    before = rng.integers(60, 120, (size, size, 3), dtype=np.uint8)
    after, buildings = before.copy(), []
    half = size // 2
    for level, corner in enumerate(rng.permutation(4), start=1):
        left, top = (int(half * place + rng.integers(2, 6)) for place in (corner % 2, corner // 2))
        right, bottom = (int(at + half - rng.integers(10, 14)) for at in (left, top))
        area = np.s_[top : bottom + 1, left : right + 1]
        before[area], after[area] = ROOF, AFTER[level - 1]
        buildings.append((left, top, right, bottom, level))
    return before, after, buildings


def write_labels(path: Path, size: int, features: list[tuple[str, dict]]) -> None:
    """Write a label file: each feature is a WKT geometry in pixels and its properties."""
    path.parent.mkdir(parents=True, exist_ok=True)
    xy = [dict(properties=dict(p, feature_type='building'), wkt=wkt) for wkt, p in features]
    metadata = dict(width=size, height=size, img_name=f'{path.stem}.png')
    path.write_text(json.dumps(dict(features=dict(lng_lat=[], xy=xy), metadata=metadata)))


def write_disasters(root: Path, names: list[str], size: int = 64) -> None:
    """Write images/ and labels/ of pairs."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        before, after, buildings = make_disaster(size, seed)
        for date, image in dict(pre=before, post=after).items():
            Image.fromarray(image).save(root / f'images/{name}_{date}_disaster.png')
            features = []
            for left, top, right, bottom, level in buildings:
                corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
                text = ', '.join(f'{x}.2 {y}.2' for x, y in corners)
                properties = dict(subtype=SUBTYPES[level - 1]) if date == 'post' else {}
                features.append((f'POLYGON (({text}))', properties))
            write_labels(root / f'labels/{name}_{date}_disaster.json', size, features)


def write_bright(root: Path, splits: dict[str, list[str]], size: int = 64) -> None:
    """Write the layout of BRIGHT: an optical image, a SAR image, the damage of levels 1 to 3."""
    for folder in ('pre-event', 'post-event', 'target'):
        (root / folder).mkdir(parents=True)
    for split, names in splits.items():
        (root / f'{split}_set.txt').write_text('\n'.join(names))
        for seed, name in enumerate(names):
            before, after, buildings = make_disaster(size, seed)
            damage = np.zeros((size, size), np.uint8)
            for left, top, right, bottom, level in buildings:
                damage[top : bottom + 1, left : right + 1] = min(level, 3)
            Image.fromarray(before).save(root / f'pre-event/{name}_pre_disaster.tif')
            sar = Image.fromarray(after).convert('L')
            sar.save(root / f'post-event/{name}_post_disaster.tif')
            Image.fromarray(damage).save(root / f'target/{name}_building_damage.tif')
