"""Small datasets of retrieval in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import rasterio

BANDS = dict(B02=24, B03=24, B04=24, B05=12)
"""Band -> pixels each way, a fifth of the real ones."""


def write_bigearthnet(root: Path, patches: dict[str, dict[str, list[str]]]) -> Path:
    """Write split file -> patch -> names of its labels."""
    rng = np.random.default_rng(0)
    for split, labels_of in patches.items():
        root.mkdir(exist_ok=True)
        (root / split).write_text(''.join(f'{patch},x,y\n' for patch in labels_of))
        for patch, labels in labels_of.items():
            folder = root / 'BigEarthNet-v1.0' / patch
            folder.mkdir(parents=True)
            content = dict(labels=labels, projection='x')
            (folder / f'{patch}_labels_metadata.json').write_text(json.dumps(content))
            for band, size in BANDS.items():
                profile = dict(driver='GTiff', width=size, height=size, count=1, dtype='uint16')
                with rasterio.open(folder / f'{patch}_{band}.tif', 'w', **profile) as file:
                    file.write(rng.integers(0, 4000, (1, size, size), dtype=np.uint16))
    return root


def write_forestnet(root: Path, rows: dict[str, list[tuple[str, str]]]) -> Path:
    """Write split file -> pairs of label and merged label."""
    rng = np.random.default_rng(0)
    for split, labels in rows.items():
        lines = ['label,merged_label,latitude,example_path']
        for i, (label, merged) in enumerate(labels):
            example = f'examples/{Path(split).stem}_{i}'
            folder = root / example / 'images/visible'
            folder.mkdir(parents=True)
            image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / 'composite.png'), image)
            lines.append(f'{label},{merged},1.5,{example}')
        (root / split).write_text('\n'.join(lines) + '\n')
    return root
