"""Makes small datasets with boxes in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

CLASSES = ('a', 'b', 'c', 'd')


def content(n_images: int = 24, size: int = 64, seed: int = 0) -> dict:
    """Return COCO's dict of random boxes."""
    generator = np.random.default_rng(seed)
    images, annotations = [], []
    for i in range(n_images):
        images.append(dict(id=i, file_name=f'{i}.jpg', height=size, width=size))
        for _ in range(generator.integers(1, 4)):
            x, y = (int(v) for v in generator.integers(0, size - 24, 2))
            w, h = (int(v) for v in generator.integers(10, 24, 2))
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=i,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    category_id=int(generator.integers(1, 5)),
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES, start=1)]
    return dict(images=images, annotations=annotations, categories=categories)


def write_coco(folder: Path, coco: dict) -> Path:
    """Write annotations.json and imgs/, boxes drawn in the color of their category."""
    (folder / 'imgs').mkdir(parents=True, exist_ok=True)
    for image in coco['images']:
        canvas = np.full((image['height'], image['width'], 3), 90, np.uint8)
        for annotation in coco['annotations']:
            if annotation['image_id'] == image['id']:
                x, y, w, h = (int(v) for v in annotation['bbox'])
                shade = 50 * annotation['category_id']
                canvas[y : y + h, x : x + w] = (shade, 255 - shade, 2 * shade % 256)
        cv2.imwrite(str(folder / 'imgs' / image['file_name']), canvas)
    (folder / 'annotations.json').write_text(json.dumps(coco))
    return folder
