"""A few real images of NWPU VHR-10 with rotated boxes, in DOTA's text format."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import cv2
from mmengine.config import Config

N_IMAGES = 8
MAX_OBJECTS = 8  # per image
IMAGES_PER_CLASS = 2


def write_subset(source: Path, folder: Path) -> Path:
    """Copy the text files of eight training images whose objects are few and large.

    Those whose smallest object is the largest, as a share of the image, and not more than two per
    class: what a detector can learn by heart within a minute or two.
    """
    sizes = {}
    for path in sorted((source / 'labelTxt_derived_minarearect/train').glob('*.txt')):
        objects = [line.split() for line in path.read_text().splitlines()]
        if len(objects) <= MAX_OBJECTS:
            longest = max(cv2.imread(str(source / f'imgs/{path.stem}.jpg')).shape)
            sizes[path] = min(_shorter_side(corners) for *corners, _, _ in objects) / longest
    folder.mkdir()
    counts, chosen = Counter(), []
    for path in sorted(sizes, key=sizes.get, reverse=True):
        classes = {line.split()[8] for line in path.read_text().splitlines()}
        if len(chosen) < N_IMAGES and all(counts[name] < IMAGES_PER_CLASS for name in classes):
            counts.update(classes)
            chosen.append(shutil.copy(path, folder))
    return folder


def _shorter_side(corners: list[str]) -> float:
    x1, y1, x2, y2, x3, y3 = map(float, corners[:6])
    return min(abs(complex(x2 - x1, y2 - y1)), abs(complex(x3 - x2, y3 - y2)))


def dataset_of(source: Path, labels: Path) -> dict:
    """Return what a dataset's config says about these images."""
    prefix = dict(img_path=str(source / 'imgs'))
    return dict(data_root='', ann_file=str(labels), data_prefix=prefix)


def resize(cfg: Config, size: int) -> None:
    """Give all images another size, in pixels of the longer side, in place."""
    for name in ('train_dataloader', 'val_dataloader'):
        for transform in cfg[name].dataset.pipeline:
            if transform.type == 'mmdet.Resize':
                transform.scale = (size, size)
