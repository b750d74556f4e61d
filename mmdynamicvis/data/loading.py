"""Image loading that does not let a damaged file pass."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import LoadImageFromFile
from PIL.Image import DecompressionBombError

from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` for data that may be incomplete.

    Images are decoded by Pillow, which refuses a truncated file; several versions of OpenCV return
    what could be decoded, so that half-gray images get into the training unseen. The decoded
    values are the same, in the same order (B, G, R). Whatever fails, the error names the file.

    Args:
        imdecode_backend: decoder, as in mmcv.
        **kwargs: the other arguments of mmcv's transform.
    """

    def __init__(self, imdecode_backend: str = 'pillow', **kwargs: Any) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> dict | None:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8.

        Raises:
            OSError: the file is missing, truncated or no image, or has more pixels than Pillow
                takes; the message names it.
        """
        try:
            return super().transform(results)
        except DecompressionBombError as error:
            raise OSError(
                f'{results["img_path"]} has more pixels than image files are read with ({error}). '
                'Cut it into tiles, or make a GeoTIFF of it, which tools/infer_scene.py takes in '
                'any size'
            ) from error
        # mmcv asserts, and each decoder has exceptions of its own.
        except Exception as error:
            raise OSError(
                f'cannot load image {results["img_path"]} ({type(error).__name__}: {error}). '
                'Copy or download the file again, or take its line out of the split file'
            ) from error
