"""A tiny fMoW-rgb in the layout of the real one, sound or broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = ('airport', 'barn', 'zoo')


def write_fmow(
    folder: Path,
    n_per_category: int = 2,
    size: int = 64,
    seed: int = 0,
    *,
    categories: tuple[str, ...] = CATEGORIES,
    splits: tuple[str, ...] = ('train', 'val'),
    kinds: tuple[str, ...] = ('rgb',),
) -> Path:
    """Write places of one view, images of size x size pixels with one or two boxes each.

    The rgb image and annotation of the first is `train/airport/airport_0/airport_0_0_rgb.jpg` and
    `.json`. Images of `test` and `seq` are in numbered folders, and their annotations, with an
    outline before the boxes, in `test_gt` and `seq_gt`, with a mapping beside them.
    """
    rng = np.random.default_rng(seed)
    for split in splits:
        masked = split in ('test', 'seq')
        mapping = []
        for number, (category, i) in enumerate(
            (c, i) for c in categories for i in range(n_per_category)
        ):
            truth = f'{split}_gt' if masked else split
            annotations = f'{truth}/{category}/{category}_{i}'
            images = f'{split}/{number:07d}' if masked else annotations
            mapping.append({'input': annotations, 'output': images})
            for kind in kinds:
                objects = [make_object(rng, category, size, j) for j in range(rng.integers(1, 3))]
                if masked:
                    objects.insert(0, {'ID': -1, 'raw_location': 'POLYGON ((0 0, 1 0, 1 1, 0 0))'})
                write_view(folder, images, rng, size, f'_0_{kind}')
                write_annotation(folder, annotations, objects, size, f'_0_{kind}')
        if masked:
            (folder / f'{split}_gt_mapping.json').write_text(json.dumps(mapping))
    return folder


def make_object(rng: np.random.Generator, category: str, size: int, number: int) -> dict[str, Any]:
    x, y = rng.integers(0, size // 2, 2).tolist()
    width, height = rng.integers(size // 8, size // 2, 2).tolist()
    return {'ID': number, 'category': category, 'box': [x, y, width, height]}


def write_view(
    folder: Path, place: str, rng: np.random.Generator, size: int, ending: str = '_0_rgb'
) -> Path:
    path = folder / place / f'{Path(place).name}{ending}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


def write_annotation(
    folder: Path, place: str, objects: Any, size: int, ending: str = '_0_rgb'
) -> Path:
    path = folder / place / f'{Path(place).name}{ending}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {'gsd': 0.5, 'img_width': size, 'img_height': size, 'bounding_boxes': objects}
    path.write_text(json.dumps(content))
    return path


def write_broken_fmow(folder: Path, size: int = 64) -> tuple[dict[str, str], dict[str, str]]:
    """Add one place of category dam per way in which a view of `train` can be broken.

    Returns:
        What the reason is to contain by skipped file, and by box: `file box number`. The first box
        of `dam_100` is sound and stays; of the other places nothing does.
    """
    rng = np.random.default_rng(0)
    files, boxes = {}, {}
    sound = {'ID': 0, 'category': 'dam', 'box': [8, 8, 16, 16]}

    def name(number: int, suffix: str) -> str:
        return f'train/dam/dam_{number}/dam_{number}_0_rgb.{suffix}'

    for number in range(9):
        write_view(folder, f'train/dam/dam_{number}', rng, size)
        write_annotation(folder, f'train/dam/dam_{number}', [sound], size)
    path = folder / name(0, 'jpg')
    path.write_bytes(path.read_bytes()[:-200])
    files[name(0, 'jpg')] = 'truncated'
    (folder / name(1, 'jpg')).write_bytes(b'<html>not found</html>')
    files[name(1, 'jpg')] = 'is no image'
    (folder / name(2, 'jpg')).unlink()
    files[name(2, 'jpg')] = 'No such file'
    (folder / name(3, 'json')).unlink()
    files[name(3, 'json')] = 'No such file'
    (folder / name(4, 'json')).write_text('{"bounding_boxes": [')
    files[name(4, 'json')] = 'is no JSON'
    (folder / name(5, 'json')).write_text('{"gsd": 0.5}')
    files[name(5, 'json')] = 'has no bounding_boxes'
    (folder / name(6, 'json')).write_text('[1, 2]')
    files[name(6, 'json')] = 'has no bounding_boxes'
    (folder / name(7, 'json')).write_text('{"bounding_boxes": []}')
    files[name(7, 'jpg')] = 'no box is left'
    (folder / name(8, 'jpg')).write_bytes(b'')
    files[name(8, 'jpg')] = 'is no image'

    broken = [
        (sound | {'category': 'castle'}, "'castle' is unknown"),
        ({'box': [8, 8, 16, 16]}, 'None is unknown'),
        (sound | {'box': [8, 8, float('nan'), 16]}, 'not four finite numbers'),
        (sound | {'box': [8, 8, 16, float('inf')]}, 'not four finite numbers'),
        (sound | {'box': [8, 8, 16]}, 'not four finite numbers'),
        (sound | {'box': ['8', 8, 16, 16]}, 'not four finite numbers'),
        (sound | {'box': None}, 'not four finite numbers'),
        (sound | {'box': [8, 8, -4, 16]}, 'has no area'),
        (sound | {'box': [8, 8, 16, 0]}, 'has no area'),
        (sound | {'box': [size, 8, 16, 16]}, f'outside the image of {size} x {size}'),
        (sound | {'box': [8, -40, 16, 16]}, f'outside the image of {size} x {size}'),
        ('dam', "'dam' is no object"),
    ]
    write_view(folder, 'train/dam/dam_100', rng, size)
    write_annotation(folder, 'train/dam/dam_100', [sound, *(entry for entry, _ in broken)], size)
    for i, (_, reason) in enumerate(broken, start=1):
        boxes[f'{name(100, "json")} {i}'] = reason
    return files, boxes
