"""Detections as COCO JSON, read and written, and as the text files of DOTA's task 1, written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData

from mmdynamicvis.data.coco import annotation_problems, completed, load_coco
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.fileio import replacing, shorten


def read_detections(path: str | Path, images: str | Path | None = None) -> dict[str, Any]:
    """Read boxes of any detector as a complete COCO file.

    Args:
        path: A COCO file with images, categories and annotations, as :func:`write_coco` writes; or
            a list of COCO results, as mmdet's ``CocoMetric(outfile_prefix=...)`` writes.
        images: For a list of results, the COCO file whose images it is of.

    Returns:
        ``images``, ``categories`` and ``annotations``, with a unique ``id``, ``area`` and
        ``iscrowd`` where they were missing. An annotation needs no category.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file is not in such a format; the images of a list are not given; there are
            no boxes; or a box is of no image, not finite, in relative coordinates (0 to 1), or
            without area inside its image. The message names the file and the first ten of these.
    """
    for file in (path, images):
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(f'{file} does not exist')
    found = _results(Path(path))
    if found is None:
        if images is not None:
            raise ValueError(f'{path} names its images itself: leave out {images}')
        content = load_coco(path)
        found = content['annotations']
    elif images is None:
        raise ValueError(f'{path} is a list of results: give the COCO file of its images, too')
    else:
        content = load_coco(images)
    if not found:
        raise ValueError(f'{path} has no boxes')
    content = completed(dict(content, annotations=found))
    # of a detector of other classes, the categories may be unknown, and its masks do not matter
    boxes = [
        {key: one[key] for key in ('image_id', 'bbox') if key in one} | dict(category_id=0)
        for one in content['annotations']
        if isinstance(one, dict)
    ]
    if len(boxes) < len(found):
        raise ValueError(f'{path} has entries that are no objects with image_id and bbox')
    checked = dict(content, annotations=boxes, categories=[dict(id=0, name='object')])
    problems = [problem.message for problem in annotation_problems(checked).values()]
    raise_problems(path, problems, 'correct or leave out these boxes')
    return content


def _results(path: Path) -> list | None:
    """Return a file's list of results, or None if it has another content."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    return content if isinstance(content, list) else None


def write_coco(
    path: str | Path, samples: Sequence[BaseDataElement], classes: Sequence[str]
) -> None:
    """Write boxes, and masks if there are any, as a complete COCO file.

    Args:
        path: File to write.
        samples: Predictions of mmdet with ``img_path`` and ``ori_shape``.
        classes: Names of the classes; category ids start at 1.

    Raises:
        ValueError: Two images have the same file name, so the file could not distinguish them.
    """
    _check_names([_file_name(sample) for sample in samples])
    content = dict(
        images=[
            dict(id=i, file_name=_file_name(sample), **_size(sample))
            for i, sample in enumerate(samples)
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(classes, 1)],
        annotations=[
            dict(annotation, image_id=i)
            for i, sample in enumerate(samples)
            for annotation in _annotations(sample.pred_instances.cpu())
        ],
    )
    for i, annotation in enumerate(content['annotations'], 1):
        annotation['id'] = i
    _write(Path(path), json.dumps(content))


def write_dota(
    folder: str | Path, samples: Sequence[BaseDataElement], classes: Sequence[str]
) -> None:
    """Write rotated boxes as ``Task1_CLASS.txt``, a line ``image score x1 y1 ... x4 y4`` per box.

    Args:
        folder: Folder to write to; created if it does not exist.
        samples: Predictions of mmrotate with ``img_path``.
        classes: Names of the classes.

    Raises:
        ValueError: Two images have the same name without the suffix, which the files omit; an image
            name has a space, which separates fields; or a class name has a slash.
    """
    stems = [Path(sample.img_path).stem for sample in samples]
    _check_names(stems)
    odd = [stem for stem in stems if stem.split() != [stem]] + [c for c in classes if '/' in c]
    if odd:
        raise ValueError(f'DOTA files cannot hold the names {shorten(odd)}: rename them')
    from mmrotate.structures.bbox import rbox2qbox

    lines: list[list[str]] = [[] for _ in classes]
    for sample in samples:
        found = sample.pred_instances.cpu()
        boxes = getattr(found.bboxes, 'tensor', found.bboxes)
        corners = rbox2qbox(boxes).tolist()
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), corners, strict=True
        ):
            numbers = ' '.join(f'{number:.2f}' for number in box)
            lines[label].append(f'{Path(sample.img_path).stem} {score:.4f} {numbers}\n')
    for name, of_class in zip(classes, lines, strict=True):
        _write(Path(folder, f'Task1_{name}.txt'), ''.join(of_class))


def _check_names(names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(
            f'several images are called {shorten(twice)}, so their predictions could not be told '
            'apart: write a file for each of their folders'
        )


def _file_name(sample: BaseDataElement) -> str:
    return Path(sample.img_path).name


def _size(sample: BaseDataElement) -> dict[str, int]:
    height, width = sample.ori_shape[:2]
    return dict(height=height, width=width)


def _annotations(found: InstanceData) -> Iterator[dict[str, Any]]:
    outlines = _encode(found.masks.numpy()) if 'masks' in found else [{}] * len(found)
    for box, label, score, outline in zip(
        found.bboxes.tolist(), found.labels.tolist(), found.scores.tolist(), outlines, strict=True
    ):
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        yield dict(
            dict(category_id=label + 1, score=score, iscrowd=0, area=width * height),
            bbox=[left, top, width, height],
            **outline,
        )


def _encode(masks: np.ndarray) -> Iterator[dict[str, Any]]:
    from pycocotools import mask as coco_mask

    for mask in masks:
        outline = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        yield dict(segmentation=dict(outline, counts=outline['counts'].decode()))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)
