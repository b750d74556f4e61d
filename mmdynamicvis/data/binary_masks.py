"""Loading of binary masks in the encodings that remote-sensing datasets use."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from PIL import Image

from mmdynamicvis.data.image_files import open_image, orientation
from mmdynamicvis.data.masks import check_mask
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadAnnotationsToBinary(BaseTransform):
    """Load a mask of two classes: 0 background, 1 target.

    Files are decoded by Pillow, which reads 1-bit TIFFs (WHU buildings) that OpenCV cannot read.
    Values are interpreted as a viewer would show them, which matters for files that store white
    as zero and for files with a palette of grays. All channels of a file with several channels
    must be equal, and no pixel may be transparent. If a palette has colors, the palette indices
    are the values.

    Args:
        threshold: For gray masks: pixels above it are the target. None: the file must contain 0
            and 1, or 0 and 255; any other value is an error.

    Raises:
        OSError: The file is missing, truncated or not an image; the message names it.
        ValueError: The mask has unexpected values (the message lists them), colors, transparent
            pixels, an EXIF orientation, or a size or place that differs from its image's (see
            ``CheckMask``); the message names the file.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W) uint8.

        Results without a mask (prediction only) are returned unchanged.
        """
        if 'seg_map_path' not in results:
            return results
        path = results['seg_map_path']
        try:
            with open_image(BytesIO(get(path))) as image:
                image.load()
        # each of Pillow's decoders raises its own exception types
        except Exception as error:
            raise OSError(
                f'cannot load mask {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again'
            ) from error
        results['gt_seg_map'] = self._classes(self._as_shown(image, path), path).astype(np.uint8)
        check_mask(results)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    @staticmethod
    def _as_shown(image: Image.Image, path: str) -> np.ndarray:
        """Return the values of a mask, (H, W) or (H, W, channels), without its alpha channel."""
        if orientation(image) != 1:
            raise ValueError(
                f'mask {path} has the EXIF orientation {orientation(image)}: turn its pixels and '
                'remove the orientation'
            )
        if image.mode == 'P':
            colors = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
            return gray_of_palette(np.asarray(image), colors)
        if image.mode == '1':
            image = image.convert('L')  # 0 and 255, the scale that thresholds refer to
        if image.mode not in ('LA', 'PA', 'RGBA'):
            return np.asarray(image)
        *channels, alpha = image.convert('RGBA').split()
        if alpha.getextrema() != (255, 255):
            raise ValueError(
                f'mask {path} has transparent pixels, which have no class: save it without '
                'transparency'
            )
        return np.dstack(channels)

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


def gray_of_palette(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the gray values of palette indices, or the indices if the palette has colors.

    Args:
        indices: (H, W) uint8.
        palette: (N, 3) uint8, R, G, B. The whole palette decides, not only the colors in use, so
            that all parts of one image are treated alike.

    Raises:
        ValueError: An index is not in the palette.
    """
    if (palette != palette[:, :1]).any():
        return indices
    if indices.size and indices.max() >= len(palette):
        raise ValueError(f'index {indices.max()} is beyond a palette of {len(palette)} colors')
    return palette[indices, 0]
