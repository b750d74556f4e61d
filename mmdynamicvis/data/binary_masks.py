"""Masks of one target class, in the encodings that remote-sensing datasets have."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get

from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadAnnotationsToBinary(BaseTransform):
    """Load a mask of two classes: 0 background, 1 target.

    Files are decoded by Pillow, which reads 1-bit TIFFs (WHU buildings) where OpenCV does not.
    The channels of a colored file must agree.

    Args:
        threshold: Pixels above it are the target, for gray masks. None: the file holds 0 and 1, or
            0 and 255, and any other value is an error.

    Raises:
        OSError: The file is missing, truncated or no image; the message names it.
        ValueError: The mask has unexpected values; the message lists them and names the file.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W) uint8.

        An image that comes without a mask, to be predicted only, passes as it is.
        """
        if 'seg_map_path' not in results:
            return results
        path = results['seg_map_path']
        try:
            mask = mmcv.imfrombytes(get(path), flag='unchanged', backend='pillow')
        # each decoder has exceptions of its own
        except Exception as error:
            raise OSError(
                f'cannot load mask {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again'
            ) from error
        results['gt_seg_map'] = self._classes(mask, path).astype(np.uint8)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def _classes(self, mask: np.ndarray, path: str) -> np.ndarray:
        if mask.ndim == 3:
            if (mask != mask[..., :1]).any():
                raise ValueError(
                    f'mask {path} is colored: shape {mask.shape}, and its channels differ. Give a '
                    'mask of one channel, or read class colors with a loader of your own'
                )
            mask = mask[..., 0]
        if self.threshold is not None:
            return mask > self.threshold
        values = np.unique(mask)
        if not (set(values) <= {0, 1} or set(values) <= {0, 255}):
            raise ValueError(
                f'mask {path} has the values {shorten(values)}, not 0 and 1 or 0 and 255. For a '
                'gray mask give a threshold, as LoadAnnotationsToBinary(threshold=127)'
            )
        return mask != 0

    def __repr__(self) -> str:
        return f'{type(self).__name__}(threshold={self.threshold})'
