"""Reading of the raw folders of fMoW-rgb: images, annotations and boxes."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

SPLITS = ('train', 'val', 'test', 'seq')
MASKED = ('test', 'seq')  # splits whose folder names do not contain the category
KINDS = {'rgb': ('rgb',), 'msrgb': ('msrgb',), 'both': ('rgb', 'msrgb')}


class View(NamedTuple):
    """An image of a place and its annotation, as paths relative to RAW."""

    key: str
    image: str
    annotation: str


def list_places(raw: Path, split: str) -> list[tuple[str, str]]:
    """Return the image folder and the annotation folder of every place of a split, relative to raw.

    Raises:
        FileNotFoundError: The split, or the mapping to its annotations, is missing.
        ValueError: The mapping cannot be read.
    """
    if not (raw / split).is_dir():
        raise FileNotFoundError(f'{raw / split} does not exist; is {raw} the folder of fMoW-rgb?')
    if split not in MASKED:
        folders = sorted((raw / split).glob('*/*/'))
        return [(folder.relative_to(raw).as_posix(),) * 2 for folder in folders if folder.is_dir()]
    mapping = raw / f'{split}_gt_mapping.json'
    if not mapping.is_file():
        raise FileNotFoundError(
            f'{mapping} does not exist; unpack groundtruth.tar.bz2 of fMoW-rgb in {raw}'
        )
    try:
        return [(entry['output'], entry['input']) for entry in json.loads(mapping.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{mapping} is broken ({error!r}); unpack it again') from error


def find_views(raw: Path, split: str, kinds: tuple[str, ...]) -> list[View]:
    """Return the views of a split, sorted by key, including those that lack one of their files.

    Raises:
        FileNotFoundError: There are no images; also see `list_places`.
        ValueError: See `list_places`.
    """
    ending = re.compile(rf'(_\d+_(?:{"|".join(kinds)}))\.(?:jpg|json)')
    views = []
    for image_folder, annotation_folder in tqdm(list_places(raw, split), desc=f'reading {split}'):
        endings = set()
        for folder in {raw / image_folder, raw / annotation_folder}:
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            own = [name for name in names if name.startswith(folder.name)]
            matches = [ending.fullmatch(name, len(folder.name)) for name in own]
            endings |= {match[1] for match in matches if match}
        image, annotation = (f'{f}/{Path(f).name}' for f in (image_folder, annotation_folder))
        views += [
            View(f'{split}_{Path(image).name}{end}', f'{image}{end}.jpg', f'{annotation}{end}.json')
            for end in endings
        ]
    if not views:
        raise FileNotFoundError(f'{raw / split} has no images of the kind {" or ".join(kinds)}')
    return sorted(views)


def hold_out(views: list[View], count: int, seed: int, *, only: bool) -> list[View]:
    """Leave out random views of test, or return only these; they depend on the list and the seed.

    Args:
        views: All views.
        count: Number of views to draw from test.
        seed: Seed of the draw.
        only: Return the drawn views instead of all others.

    Raises:
        ValueError: test has fewer views.
    """
    test = [view for view in views if view.image.startswith('test/')]
    if count > len(test):
        raise ValueError(f'--held-out is {count}, but test has {len(test)} images')
    drawn = set(random.Random(f'held out {seed}').sample(test, count))
    return [view for view in views if (view in drawn) == only]


def read_objects(path: Path) -> list[Any]:
    """Return the `bounding_boxes` of an annotation.

    Raises:
        ValueError: The annotation cannot be read; the message says why.
    """
    try:
        objects = json.loads(path.read_bytes())['bounding_boxes']
    except OSError as error:
        raise ValueError(f'cannot be read: {error.strerror}') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f'is no JSON: {error}') from error
    except (KeyError, TypeError) as error:
        raise ValueError('has no bounding_boxes') from error
    return objects if isinstance(objects, list) else [objects]


def is_outline(entry: Any) -> bool:
    """Whether an entry is the outline of the place, which groundtruth.tar.bz2 adds to the boxes."""
    return isinstance(entry, dict) and 'raw_location' in entry


def parse_object(
    entry: Any, size: tuple[int, int], classes: frozenset[str]
) -> tuple[list[float], str]:
    """Return the box (x1, y1, x2, y2) of an object, clipped to the image, and its category.

    Raises:
        ValueError: The object cannot be used; the message says why.
    """
    if not isinstance(entry, dict):
        raise ValueError(f'{entry!r} is no object with a box and a category')
    category, box = entry.get('category'), entry.get('box')
    if not isinstance(category, str) or category not in classes:
        raise ValueError(f'category {category!r} is unknown')
    is_list = isinstance(box, list) and len(box) == 4
    # the comparison is false also for NaN; no image has a side of 1e9 pixels
    if not is_list or not all(type(v) in (int, float) and abs(v) < 1e9 for v in box):
        raise ValueError(f'box {box!r} is not four finite numbers')
    x, y, width, height = map(float, box)
    if width <= 0 or height <= 0:
        raise ValueError(f'box {box} has no area')
    x1, x2 = (min(max(value, 0.0), float(size[0])) for value in (x, x + width))
    y1, y2 = (min(max(value, 0.0), float(size[1])) for value in (y, y + height))
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f'box {box} lies outside the image of {size[0]} x {size[1]} pixels')
    return [x1, y1, x2, y2], category
