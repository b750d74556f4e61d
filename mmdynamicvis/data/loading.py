"""Image loading that refuses damaged files and files that would be misread."""

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
    orientation_problem,
)
from mmdynamicvis.registry import TRANSFORMS

UPRIGHT = ('color', 'grayscale')
COLOR_TYPES = (*UPRIGHT, 'unchanged', *(f'{kind}_ignore_orientation' for kind in UPRIGHT))
IN_PIXELS = ('height', 'instances', 'seg_map_path')
"""Keys of ``results`` whose presence means that the image has annotations in pixels."""
CANVAS = (124, 117, 104)
"""R, G, B of the background that mmcv puts behind transparent gray images."""
AS_RASTER = (
    "Load it by dict(type='mmdynamicvis.LoadGeoTIFF') with mean and std in its units, or convert "
    'it to 8 bits per band'
)


@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with checks for damaged or unsuitable files.

    Images are decoded by Pillow, which refuses truncated files; several versions of OpenCV return
    the part that could be decoded, so half-gray images enter training unnoticed. The decoded
    values and their order (B, G, R) are mmcv's. Images may have any number of pixels but at most 8
    bits per band: images of higher bit depth would appear white or nearly black to models for
    8-bit images.

    The EXIF orientation is applied, as in mmcv. However, an image that has both an EXIF
    orientation and annotations in pixels (boxes, masks, or the size given by a COCO file) is
    refused, because some programs annotate the stored pixels and others the displayed ones.
    ``color_type='color_ignore_orientation'`` states that the stored pixels were annotated.

    Args:
        to_float32: Whether to convert ``img`` to float32.
        color_type: 'color', 'grayscale' or 'unchanged', as in mmcv; the first two accept the
            suffix '_ignore_orientation'.
        backend_args: Arguments of mmengine's file backend, as in mmcv.
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
        # as of LoadGeoTIFF, for LoadModalities
        self.unit = 'uint8'
        self.bands = ('blue', 'green', 'red') if color_type.startswith('color') else None

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']`` into ``results['img']``.

        ``img`` is uint8, or float32 with ``to_float32``: (H, W, 3) for 'color', (H, W) for
        'grayscale', and with the channels of the file for 'unchanged'. ``img_shape`` and
        ``ori_shape`` are (H, W).

        Raises:
            OSError: The file is missing, truncated or not an image; the message names it.
            ValueError: The image has more than 8 bits per band; or it has annotations in pixels
                and also an EXIF orientation, a size that differs from the one in ``results``, or a
                box outside it. The message names the file.
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
        # each of Pillow's decoders raises its own exception types
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
        """Return why an opened image would be misread, or an empty string."""
        if is_deep(image):
            return f'has more than 8 bits per band. {AS_RASTER}'
        if all(results.get(key) is None for key in IN_PIXELS):
            return ''
        turned = orientation_problem(image) if self.color_type in UPRIGHT else ''
        return turned or annotation_problem(image.size, results)

    def _turned(self, image: Image.Image) -> bool:
        """Return whether the EXIF orientation has to be applied."""
        return self.color_type in UPRIGHT and orientation(image) != 1

    def _decode(self, image: Image.Image) -> np.ndarray:
        """Return the pixels as ``mmcv.imfrombytes`` does, which refuses large images."""
        if self.color_type == 'unchanged':
            pixels = np.array(image)
            if pixels.ndim == 3 and pixels.shape[2] > 2:
                pixels[..., :3] = pixels[..., 2::-1].copy()
            return pixels
        if self._turned(image):
            image = ImageOps.exif_transpose(image)
        if image.mode == 'LA':  # as mmcv: a black background might look like an object
            canvas = Image.new('RGB', image.size, CANVAS)
            canvas.paste(image.convert('RGB'), mask=image.getchannel('A'))
            image = canvas
        if image.mode != 'RGB':
            image = image.convert('RGB')
        if self.color_type.startswith('grayscale'):
            return np.array(image.convert('L'))
        return np.array(image)[..., ::-1]
