"""Writing of detections as COCO JSON and as the text files of DOTA's task 1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData

from mmdynamicvis.fileio import replacing, shorten


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
