"""Checks of annotation files in COCO's format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import mmengine

from mmdynamicvis.data.problems import raise_problems

KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    categories=('id', 'name'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
)


def check_coco(path: str | Path, classes: Sequence[str], masks: bool = False) -> None:
    """Refuse a file that mmdet would not read, or would read as something else without a word.

    Boxes that reach over the edge of their image are in order: mmdet clips them. So are boxes
    narrower than a pixel, though mmdet leaves them out.

    Args:
        path: Annotation file, json.
        classes: Names of the classes, in the order of their labels.
        masks: Whether every annotation needs a mask.

    Raises:
        ValueError: Something is wrong: with the file as such (it is not COCO's), with the classes
            (not in the file, or in another order), or with annotations (see
            :func:`annotation_problems`). The message names the file and the first ten problems.
    """
    content = load_coco(path)
    in_annotations = list(annotation_problems(content, masks).values())
    fix = 'give metainfo.classes in the order of the categories'
    if in_annotations:
        needs_masks = ' --masks' if masks else ''
        fix = (
            'leave these annotations out: python tools/prepare_data/clean_coco.py '
            f'{path} CLEANED.json{needs_masks}'
        )
    raise_problems(path, [*class_problems(content, classes), *in_annotations], fix)


def load_coco(path: str | Path) -> dict:
    """Read a file in COCO's format.

    Raises:
        ValueError: It is not json, it lacks images, annotations or categories, or an image or a
            category lacks a key or has the id of another, or an image has no size.
    """
    try:
        content = mmengine.load(path, file_format='json')
    except ValueError as error:
        raise ValueError(f'{path} is not json: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in KEYS):
        raise ValueError(f'{path} is not in COCO format: it needs lists of {", ".join(KEYS)}')
    problems = [
        *_entry_problems(content['images'], 'images'),
        *_entry_problems(content['categories'], 'categories'),
    ]
    raise_problems(path, problems, 'mend the file, or download it again')
    return content


def class_problems(content: dict, classes: Sequence[str]) -> list[str]:
    """Return why labels would not be those of the classes.

    mmdet numbers the classes in the order of the file, whatever the order of
    ``metainfo.classes``.
    """
    in_file = [category['name'] for category in content['categories']]
    absent = [name for name in classes if name not in in_file]
    if absent or not classes:
        return [f'the classes {absent} are none of its categories {in_file}']
    in_order = [name for name in in_file if name in classes]
    if list(classes) != in_order:
        return [f'the classes {list(classes)} are not in the order of its categories, {in_order}']
    return []


def annotation_problems(content: dict, masks: bool = False) -> dict[int, str]:
    """Return what is wrong with annotations, by their position in the file.

    A key is missing, an id occurs twice, the image or the category is not in the file, the box is
    not of finite numbers, has no area or lies wholly outside its image, a polygon has fewer than
    three points or an odd number of coordinates, or an encoded mask has another size than its
    image.

    Args:
        content: What :func:`load_coco` returns.
        masks: Whether an annotation without a mask has a problem too.
    """
    images = {image['id']: image for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    problems, seen = {}, set()
    for position, annotation in enumerate(content['annotations']):
        problem = _lacking(annotation, 'annotations')
        if problem:
            problems[position] = f'annotation at position {position} {problem}'
            continue
        image = images.get(annotation['image_id'])
        if annotation['id'] in seen:
            problem = 'has the id of another annotation'
        elif image is None:
            problem = f'has image_id {annotation["image_id"]}, which no image has'
        elif annotation['category_id'] not in categories:
            problem = f'has category_id {annotation["category_id"]}, which no category has'
        else:
            problem = _box_problem(annotation, image) or _mask_problem(annotation, image, masks)
        if problem:
            name = f' of {image["file_name"]}' if image else ''
            problems[position] = f'annotation {annotation["id"]}{name} {problem}'
        seen.add(annotation['id'])
    return problems


def _entry_problems(entries: Sequence[dict], kind: str) -> list[str]:
    problems, seen = [], set()
    for position, entry in enumerate(entries):
        problem = _lacking(entry, kind)
        if not problem and entry['id'] in seen:
            problem = f'has the id {entry["id"]} of another'
        if not problem and kind == 'images' and not _has_size(entry):
            problem = f'has the size {entry["width"]} x {entry["height"]}'
        if problem:
            problems.append(f'{kind}[{position}] {problem}')
        else:
            seen.add(entry['id'])
    return problems


def _lacking(entry: object, kind: str) -> str:
    if not isinstance(entry, dict):
        return f'is {entry}'
    lacks = [key for key in KEYS[kind] if key not in entry]
    return f'lacks {", ".join(lacks)}' if lacks else ''


def _has_size(image: dict) -> bool:
    size = [image['width'], image['height']]
    return _are_finite(size) and min(size) > 0


def _box_problem(annotation: dict, image: dict) -> str:
    box = annotation['bbox']
    if not _are_finite(box) or len(box) != 4:
        return f'has the box {box}; it must be four finite numbers: x, y, width, height'
    if not _are_finite([annotation['area']]):
        return f'has the area {annotation["area"]}'
    x, y, width, height = box
    if width <= 0 or height <= 0 or annotation['area'] <= 0:
        return f'has the box {box} and the area {annotation["area"]}; nothing is in it'
    if min(x + width, image['width']) <= max(x, 0) or min(y + height, image['height']) <= max(y, 0):
        return f'has the box {box}, outside its image of {image["width"]} x {image["height"]}'
    return ''


def _mask_problem(annotation: dict, image: dict, needed: bool) -> str:
    mask = annotation.get('segmentation')
    if not mask:
        return 'has no mask' if needed else ''
    if isinstance(mask, dict):
        size = [image['height'], image['width']]
        fits = 'counts' in mask and list(mask.get('size', ())) == size
        return '' if fits else f'has a mask of size {mask.get("size")} for an image of {size}'
    for polygon in mask:
        if not _are_finite(polygon) or len(polygon) % 2 or len(polygon) < 6:
            return f'has the polygon {str(polygon)[:80]}; it must be x, y of three points or more'
    return ''


def _are_finite(values: object) -> bool:
    """Whether this is a list of finite numbers."""
    if not isinstance(values, list):
        return False
    try:
        return math.isfinite(sum(values))  # of all at once: polygons are long, files are large
    except TypeError:
        return False
