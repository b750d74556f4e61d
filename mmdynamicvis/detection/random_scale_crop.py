"""Large-scale jitter that resamples only the pixels it keeps."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import RandomCrop, Resize

from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomScaleCrop(BaseTransform):
    """Randomly scale and crop an image, implemented by cropping first.

    Equivalent to ``RandomResize(scale=crop_size, ratio_range=..., keep_ratio=True)`` followed by
    ``RandomCrop(crop_size)``: the scale factor is drawn uniformly, and every crop of the scaled
    image is equally likely. The crop is taken from the original image, rounded to its pixels, and
    then resized. This avoids resampling pixels that the crop would discard, half of them at ratios
    of 0.1 to 2.0. Results smaller than the crop are not padded. Boxes, masks and labels are
    transformed by mmdet's ``RandomCrop`` and ``Resize``.

    Args:
        crop_size: Largest (width, height) of the result in pixels.
        ratio_range: Smallest and largest size of the scaled image, relative to the size at which
            it just fits into ``crop_size``.
        **crop: Further arguments of mmdet's ``RandomCrop``, such as ``allow_negative_crop``.

    Raises:
        ValueError: Sizes or ratios are not positive, or the range is inverted.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        ratio_range: tuple[float, float] = (0.1, 2.0),
        **crop: bool,
    ) -> None:
        if min(crop_size) < 1 or not 0 < ratio_range[0] <= ratio_range[1]:
            raise ValueError(
                f'crop_size {crop_size} must be positive, and ratio_range {ratio_range} two '
                'positive numbers, the smaller first'
            )
        self.crop_size = tuple(crop_size)
        self.ratio_range = ratio_range
        self.crop = crop

    def transform(self, results: dict) -> dict | None:
        """Scale and crop ``results``; return None if the crop has no boxes and that is refused."""
        height, width = results['img'].shape[:2]
        _, fitting = mmcv.rescale_size((width, height), self.crop_size, return_scale=True)
        factor = fitting * np.random.uniform(*self.ratio_range)
        part = tuple(max(round(side / factor), 1) for side in self.crop_size)
        results = RandomCrop(part, **self.crop)(results)
        if results is None:
            return None
        height, width = results['img'].shape[:2]
        # a side that was cropped fills the result exactly; a whole side may be shorter
        size = tuple(
            full if side == cut else max(round(side * factor), 1)
            for side, cut, full in zip((width, height), part, self.crop_size, strict=True)
        )
        return Resize(scale=size, keep_ratio=False)(results)
