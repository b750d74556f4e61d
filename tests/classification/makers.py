"""Tiny datasets in the published folder layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_scenes(
    root: Path, classes: tuple[str, ...], per_class: int, size: int = 40, suffix: str = '.jpg'
) -> Path:
    """Write ``<class>/<class>_N`` images, each class of its own color, and train.txt, val.txt."""
    rng = np.random.default_rng(0)
    lines = []
    for name in classes:
        (root / name).mkdir(parents=True)
        color = rng.integers(40, 215, 3)
        for i in range(per_class):
            image = np.clip(color + rng.normal(0, 15, (size, size, 3)), 0, 255).astype(np.uint8)
            line = f'{name}/{name.lower()}_{i}{suffix}'
            assert cv2.imwrite(str(root / line), image)
            lines.append(line)
    for name in ('train.txt', 'val.txt'):
        (root / name).write_text('\n'.join(lines) + '\n')
    return root
