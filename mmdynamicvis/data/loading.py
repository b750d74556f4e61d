"""Image loading that does not let a damaged file pass, nor one that would be misread."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from PIL import Image, ImageOps, UnidentifiedImageError

from mmdynamicvis.data.image_files import (
    annotation_problem,
    is_deep,
    open_image,
    orientation,
)
from mmdynamicvis.registry import TRANSFORMS

UPRIGHT = ('color', 'grayscale')
COLOR_TYPES = (*UPRIGHT, 'unchanged', *(f'{kind}_ignore_orientation' for kind in UPRIGHT))
IN_PIXELS = ('height', 'instances', 'seg_map_path')
"""What says in ``results`` that annotations in pixels belong to the image."""
CANVAS = (124, 117, 104)
"""What mmcv puts behind transparent gray images."""
AS_RASTER = (
    "Load it by dict(type='mmdynamicvis.LoadGeoTIFF') with mean and std in its units, or convert "
    'it to 8 bits per band'
)


@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` for data that may be incomplete, or of another kind.

    Images are decoded by Pillow, which refuses a truncated file; several versions of OpenCV return
    what could be decoded, so that half-gray images get into the training unseen. The decoded
    values are the same, in the same order (B, G, R). Images may have any number of pixels, and at
    most 8 bits per band: of more, models for 8-bit images would see white, or next to black.

    An image with an EXIF orientation is turned upright, as by mmcv. If annotations in pixels come
    with it (boxes, masks, or the size that a COCO file gives), it is refused, as some programs
    annotate the pixels as they are stored and others as they are shown. ``color_type=
    'color_ignore_orientation'`` says that it was as they are stored.

    Args:
        to_float32: whether ``img`` is of float32.
        color_type: 'color', 'grayscale' or 'unchanged', as in mmcv; the first two may end with
            '_ignore_orientation'.
        backend_args: where files are, as in mmcv.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if color_type not in COLOR_TYPES:
            raise ValueError(f'color_type is {color_type!r}; choose {", ".join(COLOR_TYPES)}')
        super().__init__(to_float32, color_type, 'pillow', backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8.

        Raises:
            OSError: the file is missing, truncated or no image; the message names it.
            ValueError: it has more than 8 bits per band; or it has annotations in pixels, and an
                EXIF orientation or another size than ``results`` say. The message names it.
        """
        path = results['img_path']
        try:
            with open_image(BytesIO(get(path, backend_args=self.backend_args))) as image:
                problem = self._problem(image, results)
                pixels = None if problem else self._decode(image)
        except UnidentifiedImageError as error:
            raise OSError(
                f'cannot load image {path}: Pillow does not read it. If the file is whole, as a '
                f'raster of many bands may be: {AS_RASTER}. Else copy or download it again'
            ) from error
        # each decoder has exceptions of its own.
        except Exception as error:
            raise OSError(
                f'cannot load image {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again, or take its line out of the split file'
            ) from error
        if problem:
            raise ValueError(f'image {path} {problem}')
        results['img'] = pixels.astype(np.float32) if self.to_float32 else pixels
        results['img_shape'] = results['ori_shape'] = pixels.shape[:2]
        return results

    def _problem(self, image: Image.Image, results: dict) -> str:
        """Return why an image that was opened would be misread, or nothing."""
        if is_deep(image):
            return f'has more than 8 bits per band. {AS_RASTER}'
        if all(results.get(key) is None for key in IN_PIXELS):
            return ''
        size = results.get('width'), results.get('height')
        turns = self.color_type in UPRIGHT
        return annotation_problem(image, None if None in size else size, turns)

    def _turned(self, image: Image.Image) -> bool:
        """Return whether an image is to be turned upright."""
        return self.color_type in UPRIGHT and orientation(image) != 1

    def _decode(self, image: Image.Image) -> np.ndarray:
        """Return the pixels as ``mmcv.imfrombytes`` does, which takes no image that is large."""
        if self.color_type == 'unchanged':
            pixels = np.array(image)
            if pixels.ndim == 3 and pixels.shape[2] > 2:
                pixels[..., :3] = pixels[..., 2::-1].copy()
            return pixels
        if self._turned(image):
            image = ImageOps.exif_transpose(image)
        if image.mode == 'LA':  # black might be an object
            canvas = Image.new('RGB', image.size, CANVAS)
            canvas.paste(image.convert('RGB'), mask=image.getchannel('A'))
            image = canvas
        if image.mode != 'RGB':
            image = image.convert('RGB')
        if self.color_type.startswith('grayscale'):
            return np.array(image.convert('L'))
        return np.array(image)[..., ::-1]
