"""Geometric augmentations of all modalities of a sample and its label maps together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform

from mmdynamicvis.data.modalities import SAME_GSD
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomFlipTurn(BaseTransform):
    """Flip and turn all images and label maps, by one of the eight symmetries of a square.

    All eight are equally likely. Images that are not square are turned by 180 degrees alone, so
    that a batch keeps one size; then four are.
    """

    def transform(self, results: dict) -> dict:
        """Modify ``images``, ``gt_seg_map`` if there is one, and what ``seg_fields`` names."""
        square = all(height == width for height, width in _shapes(results))
        turns = np.random.randint(4) if square else 2 * np.random.randint(2)
        flip = np.random.rand() < 0.5

        def change(array: np.ndarray) -> np.ndarray:
            turned = np.rot90(array, turns)
            return turned[:, ::-1] if flip else turned

        return _apply(results, change)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class RandomFootprintCrop(BaseTransform):
    """Crop one random footprint of all images and label maps, at whole pixels of all.

    Args:
        size: Height and width of the footprint in meters, or one number for both. A multiple of the
            pixels that all grids share: of 60 m for images of 10, 20 and 60 m per pixel.

    Raises:
        ValueError: The size is not positive; or, of a sample, larger than the footprint or not a
            multiple of what its grids share.
    """

    def __init__(self, size: float | tuple[float, float]) -> None:
        self.size = (size, size) if np.isscalar(size) else tuple(size)
        if len(self.size) != 2 or not min(self.size) > 0:
            raise ValueError(f'size is {size}; give meters, one number or (height, width)')

    def transform(self, results: dict) -> dict:
        """Modify ``images``, ``gt_seg_map`` if there is one, and what ``seg_fields`` names."""
        shapes = _shapes(results)
        gsd = next(iter(results['readings'].values())).gsd
        fractions = [
            self._fraction([shape[axis] for shape in shapes], gsd, axis, results)
            for axis in range(2)
        ]

        def change(array: np.ndarray) -> np.ndarray:
            cuts = [
                slice(length * start // of, length * end // of)
                for length, (start, end, of) in zip(array.shape, fractions, strict=False)
            ]
            return array[tuple(cuts)]

        return _apply(results, change)

    def _fraction(
        self, lengths: list[int], gsd: float, axis: int, results: dict
    ) -> tuple[int, int, int]:
        """Return first and last line of a crop, of how many lines that all grids share.

        Args:
            lengths: Pixels of each grid along the axis; the first is of ``gsd``.
            gsd: Meters per pixel of the first grid.
            axis: 0 for height, 1 for width.
            results: For messages.
        """
        lines = int(np.gcd.reduce(lengths))
        step = lengths[0] * gsd / lines
        count = round(self.size[axis] / step)
        if not 1 <= count <= lines or abs(count * step / self.size[axis] - 1) > SAME_GSD:
            raise ValueError(
                f'{results.get("img_path")}: a crop of {self.size[axis]:g} m along the '
                f'{("height", "width")[axis]} is not possible. Its grids of {lengths} pixels '
                f'share steps of {step:g} m, {lines} of them: choose a multiple'
            )
        start = np.random.randint(lines - count + 1)
        return start, start + count, lines

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


def _shapes(results: dict) -> list[tuple[int, int]]:
    """Return (height, width) of each modality and of each label map."""
    shapes = [dates[0].shape[:2] for dates in results['images'].values()]
    return shapes + [results[key].shape for key in _label_maps(results)]


def _label_maps(results: dict) -> list[str]:
    """Return the keys of the label maps."""
    keys = dict.fromkeys(['gt_seg_map', *results.get('seg_fields', ())])
    return [key for key in keys if key in results]


def _apply(results: dict, change: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Apply a function of arrays (H, W, ...) to all images and label maps."""
    results['images'] = {
        name: [np.ascontiguousarray(change(date)) for date in dates]
        for name, dates in results['images'].items()
    }
    for key in _label_maps(results):
        results[key] = np.ascontiguousarray(change(results[key]))
    results['img_shape'] = change(np.broadcast_to(False, results['img_shape'])).shape
    results.pop('places', None)  # pixels are elsewhere now
    return results
