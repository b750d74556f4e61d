"""Validation of annotation files in COCO format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mmengine
import numpy as np

from mmdynamicvis.data.problems import raise_problems

KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    categories=('id', 'name'),
    annotations=('image_id', 'category_id', 'bbox'),
)
ENOUGH = 10  # number of boxes needed to decide which box format a file uses


class Problem(NamedTuple):
    """A problem of one annotation."""

    reason: str
    """Kind of the problem in a few words, the same for all annotations that have it."""
    message: str
    """Description that names the annotation, its image and the value."""


def check_coco(path: str | Path, classes: Sequence[str], masks: bool = False) -> None:
    """Refuse a file that mmdet cannot read or would silently misread.

    Boxes that extend beyond the edge of their image are accepted, because mmdet clips them. Boxes
    narrower than a pixel are accepted too, although mmdet ignores them.

    Args:
        path: Annotation file in JSON.
        classes: Names of the classes, in the order of their labels.
        masks: Whether every annotation needs a mask.

    Raises:
        ValueError: The file is malformed (see :func:`load_coco`), classes are missing from it or
            in another order, or annotations are invalid (see :func:`annotation_problems` and
            :func:`incomplete_annotations`). The message names the file and the first ten problems.
    """
    content = load_coco(path)
    wrong = annotation_problems(content, masks)
    in_annotations = {**incomplete_annotations(content), **wrong}
    fix = 'give metainfo.classes in the order of the categories'
    if in_annotations:
        needs_masks = ' --masks' if masks else ''
        fix = (
            'complete or leave out these annotations: python tools/prepare_data/clean_coco.py '
            f'{path} CLEANED.json{needs_masks}'
        )
    if wrong and len(annotation_problems(completed(content), masks)) == len(content['annotations']):
        fix = 'not one annotation can be used: write the file again'
    messages = [problem.message for _, problem in sorted(in_annotations.items())]
    raise_problems(path, [*class_problems(content, classes), *messages], fix)


def load_coco(path: str | Path) -> dict:
    """Read a file in COCO format.

    Raises:
        ValueError: The file is not JSON; it lacks images, annotations or categories; an image or
            a category lacks a key or repeats the id or the name of another; an image has no valid
            size; or boxes are given as two corners.
    """
    try:
        content = mmengine.load(path, file_format='json')
    except ValueError as error:
        raise ValueError(f'{path} is not json: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in KEYS):
        raise ValueError(f'{path} is not in COCO format: it needs lists of {", ".join(KEYS)}')
    problems = [
        *_entry_problems(content['images'], 'images', 'file_name'),
        *_entry_problems(content['categories'], 'categories', 'name'),
    ]
    raise_problems(
        path, problems or _corner_problems(content), 'correct the file, or write it again'
    )
    return content


def class_problems(content: dict, classes: Sequence[str]) -> list[str]:
    """Return the reasons why mmdet's labels would not match the classes; empty if they match.

    mmdet numbers the classes in the order of the categories in the file, regardless of the order
    of ``metainfo.classes``.
    """
    in_file = [category['name'] for category in content['categories']]
    absent = [name for name in classes if name not in in_file]
    if absent or not classes:
        return [f'the classes {absent} are none of its categories {in_file}']
    in_order = [name for name in in_file if name in classes]
    if list(classes) != in_order:
        return [f'the classes {list(classes)} are not in the order of its categories, {in_order}']
    return []


def annotation_problems(content: dict, masks: bool = False) -> dict[int, Problem]:
    """Return the annotations that cannot be used: position in the file -> problem.

    An annotation cannot be used if a key is missing; its image or category is not in the file; its
    box has a value that is not finite, has no area, is in relative coordinates (0 to 1) or lies
    entirely outside its image; ``iscrowd`` is neither 0 nor 1; a polygon has fewer than three
    points or an odd number of coordinates; the run lengths of its mask do not add up to the pixels
    of its image; or its mask lies outside the box or the image.

    Args:
        content: As returned by :func:`load_coco`.
        masks: Whether a missing mask is a problem as well.
    """
    images = {image['id']: image for image in content['images']}
    categories = {category['id']: category for category in content['categories']}
    problems = {}
    for position, annotation in enumerate(content['annotations']):
        problem = _lacking(annotation, 'annotations')
        image = None if problem else _find(images, annotation['image_id'])
        if not problem:
            if image is None:
                text = f'has image_id {annotation["image_id"]!r}, which no image has'
                problem = ('no image', text)
            elif _find(categories, annotation['category_id']) is None:
                text = f'has category_id {annotation["category_id"]!r}, which no category has'
                problem = ('no category', text)
            elif annotation.get('iscrowd') not in (None, 0, 1):
                text = f'has iscrowd {annotation["iscrowd"]!r}; it must be 0 or 1'
                problem = ('iscrowd', text)
            else:
                problem = _box_problem(annotation['bbox'], image)
                problem = problem or _mask_problem(annotation, image, masks)
        if problem:
            reason, text = problem
            problems[position] = Problem(reason, f'{_name(annotation, position, image)} {text}')
    return problems


def incomplete_annotations(content: dict) -> dict[int, Problem]:
    """Return the annotations that :func:`completed` would complete: position -> problem.

    mmdet cannot read annotations without ``area``. COCO's evaluation cannot read annotations
    without ``iscrowd`` or with ids that are strings.
    """
    images = {image['id']: image for image in content['images']}
    problems, seen = {}, set()
    for position, annotation in enumerate(content['annotations']):
        if not isinstance(annotation, dict):
            continue
        number, area, problem = annotation.get('id'), annotation.get('area'), None
        if 'id' not in annotation:
            problem = ('no id', 'lacks id')
        elif not _is_number(number) or number in seen:
            problem = ('id', f'has the id {number!r}; ids must be whole numbers, each once')
        elif 'area' not in annotation:
            problem = ('no area', 'lacks area')
        elif not _is_area(area):
            problem = ('area', f'has the area {area!r}; it must be a positive number')
        elif annotation.get('iscrowd') is None:
            problem = ('no iscrowd', 'lacks iscrowd')
        if _is_number(number):
            seen.add(number)
        if problem:
            image = _find(images, annotation.get('image_id'))
            reason, text = problem
            problems[position] = Problem(reason, f'{_name(annotation, position, image)} {text}')
    return problems


def completed(content: dict) -> dict:
    """Return a file's content with missing fields of annotations filled in where possible.

    All annotations are renumbered from 1 if any id is missing, not a whole number or not unique.
    An ``image_id`` or ``category_id`` that is a string where the id is a number, or vice versa, is
    converted. An ``area`` that is missing or not positive is computed from the mask, else from the
    box. A missing ``iscrowd`` becomes 0. Anything that cannot be computed is left unchanged.

    Args:
        content: As returned by :func:`load_coco`; it is not modified.
    """
    known = {
        'image_id': {entry['id'] for entry in content['images']},
        'category_id': {entry['id'] for entry in content['categories']},
    }
    by_text = {key: {str(value): value for value in ids} for key, ids in known.items()}
    old = content['annotations']
    ids = [entry.get('id') if isinstance(entry, dict) else None for entry in old]
    renumber = not all(map(_is_number, ids)) or len(set(ids)) < len(ids)
    annotations = []
    for number, annotation in enumerate(old, start=1):
        if isinstance(annotation, dict):
            annotation = dict(annotation)
            if renumber:
                annotation['id'] = number
            for key, values in known.items():
                value = annotation.get(key)
                if _is_id(value) and value not in values:
                    annotation[key] = by_text[key].get(str(value), value)
            if not _is_area(annotation.get('area')):
                annotation['area'] = _area(annotation)
            if annotation.get('iscrowd') is None:
                annotation['iscrowd'] = 0
        annotations.append(annotation)
    return {**content, 'annotations': annotations}


def run_lengths(counts: object) -> list[int]:
    """Return the run lengths of a mask in column-major order; the first run is background.

    Args:
        counts: ``counts`` of COCO's ``segmentation``: a list of lengths, or the string to which
            pycocotools compresses it. pycocotools validates neither.

    Raises:
        ValueError: ``counts`` is neither of these, or a length is negative.
    """
    if isinstance(counts, list) and all(map(_is_number, counts)):
        return counts
    if not isinstance(counts, str):
        raise ValueError(f'has the run lengths {str(counts)[:80]}')
    # 6 bits per character, offset by '0': 5 bits of a number, lowest first, and a continuation bit
    symbols = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - ord('0')
    ends = np.flatnonzero((symbols & 32) == 0)
    if symbols.size and (symbols.min() < 0 or symbols.max() > 63 or symbols[-1] & 32):
        raise ValueError(f'has run lengths that are none, {counts[:80]!r}')
    if not symbols.size:
        return []
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > 7:
        raise ValueError(f'has run lengths that are none, {counts[:80]!r}')
    shifts = 5 * (np.arange(symbols.size) - starts.repeat(sizes))
    numbers = np.add.reduceat((symbols & 31) << shifts, starts)
    numbers -= np.where(symbols[ends] & 16, 1 << (5 * sizes), 0)
    # from the fourth number on, each is stored as the difference to the second to last
    for first in (1, 2):
        numbers[first::2] = numbers[first::2].cumsum()
    if numbers.min() < 0:
        raise ValueError(f'has the negative run length {numbers.min()}')
    return numbers.tolist()


def _entry_problems(entries: Sequence[dict], kind: str, name: str) -> list[str]:
    problems, seen = [], {'id': set(), name: set()}
    for position, entry in enumerate(entries):
        lacking = _lacking(entry, kind)
        problem = lacking and lacking[1]
        for key in seen:
            if not problem and not _is_id(entry[key]):
                problem = f'has the {key} {entry[key]}; it must be a number or a text'
            if not problem and key == 'file_name' and not isinstance(entry[key], str):
                problem = f'has the file_name {entry[key]}; it must be a text'
            if not problem and entry[key] in seen[key]:
                problem = f'has the {key} {entry[key]} of another; rename or delete one of them'
        if not problem and kind == 'images' and not _has_size(entry):
            problem = f'has the size {entry["width"]} x {entry["height"]}'
        if problem:
            problems.append(f'{kind}[{position}] {problem}')
            continue
        for key, values in seen.items():
            values.add(entry[key])
    return problems


def _corner_problems(content: dict) -> list[str]:
    """Return a problem if boxes look like two corners instead of COCO's x, y, width, height."""
    images = {image['id']: image for image in content['images']}
    boxes, sizes = [], []
    for annotation in content['annotations']:
        if isinstance(annotation, dict) and _is_box(annotation.get('bbox')):
            image = _find(images, annotation.get('image_id'))
            if image is not None:
                boxes.append(annotation['bbox'])
                sizes.append((image['width'], image['height']))
    if len(boxes) < ENOUGH:
        return []
    boxes, sizes = np.array(boxes, float), np.array(sizes, float)
    first, second = boxes[:, :2], boxes[:, 2:]
    as_corners = (first >= 0).all() and (first < second).all() and (second <= sizes).all()
    over_the_edge = (first + second > sizes + 1).any(1)
    if not as_corners or over_the_edge.mean() <= 0.5:
        return []
    return [
        f'its boxes, as {content["annotations"][0].get("bbox")}, are two corners: COCO has x, y, '
        'width, height'
    ]


def _name(annotation: object, position: int, image: dict | None) -> str:
    has_id = isinstance(annotation, dict) and 'id' in annotation
    name = f'annotation {annotation["id"]}' if has_id else f'annotation at position {position}'
    return f'{name} of {image["file_name"]}' if image else name


def _find(entries: dict, value: object) -> dict | None:
    return entries.get(value) if _is_id(value) else None


def _lacking(entry: object, kind: str) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        return 'no entry', f'is {entry}'
    lacks = [key for key in KEYS[kind] if key not in entry]
    return ('lacks a key', f'lacks {", ".join(lacks)}') if lacks else None


def _has_size(image: dict) -> bool:
    size = [image['width'], image['height']]
    return _are_finite(size) and min(size) > 0


def _box_problem(box: object, image: dict) -> tuple[str, str] | None:
    if not _is_box(box):
        return 'box', f'has the box {box}; it must be four finite numbers: x, y, width, height'
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return 'empty box', f'has the box {box}; it is empty'
    if min(box) >= 0 and max(box) <= 1 and min(width, height) < 1:
        return 'box from 0 to 1', f'has the box {box}, from 0 to 1; it must be in pixels'
    if min(x + width, image['width']) <= max(x, 0) or min(y + height, image['height']) <= max(y, 0):
        size = f'{image["width"]} x {image["height"]}'
        return 'box outside its image', f'has the box {box}, outside its image of {size}'
    return None


def _mask_problem(annotation: dict, image: dict, needed: bool) -> tuple[str, str] | None:
    mask = annotation.get('segmentation')
    if not mask:
        return ('no mask', 'has no mask') if needed else None
    if isinstance(mask, dict):
        problem = _run_lengths_problem(mask, image)
        if problem:
            return problem
        shown = str(mask['counts'])
        x_y = _bounds(run_lengths(mask['counts']), image['height'])
    elif isinstance(mask, list):
        for polygon in mask:
            if not _are_finite(polygon) or len(polygon) % 2 or len(polygon) < 6:
                text = (
                    f'has the polygon {str(polygon)[:80]}; it must be x, y of three points or more'
                )
                return 'polygon', text
        shown = str(mask[0])
        x_y = [[value for polygon in mask for value in polygon[axis::2]] for axis in (0, 1)]
    else:
        return 'mask', f'has the mask {str(mask)[:80]}'
    x, y, width, height = annotation['bbox']
    for values, start, stop in (
        (x_y[0], max(x, 0), min(x + width, image['width'])),
        (x_y[1], max(y, 0), min(y + height, image['height'])),
    ):
        if max(values) < start or min(values) > stop:
            kind = 'polygon' if isinstance(mask, list) else 'mask'
            text = f'has the {kind} {shown[:80]}, outside its box {annotation["bbox"]}'
            return f'{kind} outside its box', text
    return None


def _run_lengths_problem(mask: dict, image: dict) -> tuple[str, str] | None:
    size = [image['height'], image['width']]
    if mask.get('size') != size:
        return 'size of mask', f'has a mask of size {mask.get("size")} for an image of {size}'
    try:
        runs = run_lengths(mask.get('counts'))
    except ValueError as error:
        return 'run lengths', str(error)
    pixels = size[0] * size[1]
    if sum(runs) != pixels:
        return 'run lengths', f'has a mask of {sum(runs)} pixels for an image of {pixels}'
    if not sum(runs[1::2]):
        return 'empty mask', 'has a mask without a pixel'
    return None


def _bounds(runs: Sequence[int], height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return between which x and which y the pixels of a mask lie, of which there must be some."""
    ends = np.cumsum(runs)
    first, last = (ends - runs)[1::2], ends[1::2] - 1
    first, last = first[first <= last], last[first <= last]
    columns, stops = first // height, last // height
    if (columns < stops).any():
        rows = 0, height
    else:
        rows = int((first % height).min()), int((last % height).max()) + 1
    return (int(columns.min()), int(stops.max()) + 1), rows


def _area(annotation: dict) -> float | None:
    """Return the area of the mask, or of the box, in square pixels; None if neither has one."""
    mask, box = annotation.get('segmentation'), annotation.get('bbox')
    area = 0.0
    if isinstance(mask, dict):
        try:
            area = float(sum(run_lengths(mask.get('counts'))[1::2]))
        except ValueError:
            area = 0.0
    elif isinstance(mask, list) and all(_are_finite(part) and len(part) % 2 == 0 for part in mask):
        for polygon in mask:
            x, y = np.array(polygon, float).reshape(-1, 2).T
            area += abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
    if area > 0:
        return area
    return box[2] * box[3] if _is_box(box) else None


def _is_id(value: object) -> bool:
    return isinstance(value, int | float | str)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_area(value: object) -> bool:
    return _are_finite([value]) and value > 0


def _is_box(value: object) -> bool:
    return _are_finite(value) and len(value) == 4


def _are_finite(values: object) -> bool:
    """Whether this is a list of finite numbers."""
    if not isinstance(values, list):
        return False
    try:
        return math.isfinite(sum(values))  # one call for all values: files hold many long polygons
    except TypeError:
        return False
