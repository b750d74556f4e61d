"""Windows of real images, half of them the target, for a network to learn by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64
N_WINDOWS = 4


def write_windows(pairs: list[tuple[Path, Path]], folder: Path) -> None:
    """Write the four windows whose share of the target is nearest to one half.

    They are ``images/N.png`` and ``masks/N.tif`` and do not overlap. Masks keep their encoding:
    gray, 0 and 255, or one bit.
    """
    for name in ('images', 'masks'):
        (folder / name).mkdir(parents=True)
    found = []
    for image_path, mask_path in pairs:
        image, mask = Image.open(image_path), Image.open(mask_path)
        for y in range(0, mask.height - SIZE + 1, SIZE):
            for x in range(0, mask.width - SIZE + 1, SIZE):
                box = (x, y, x + SIZE, y + SIZE)
                window = mask.crop(box)
                share = np.asarray(window.convert('L')).mean() / 255
                found.append((abs(share - 0.5), image.crop(box), window))
    found.sort(key=lambda window: window[0])
    for i, (_, image, mask) in enumerate(found[:N_WINDOWS]):
        image.save(folder / f'images/{i}.png')
        mask.save(folder / f'masks/{i}.tif')
