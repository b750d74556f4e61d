"""Checks that masks belong to their images."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from mmdynamicvis.data.grids import check_mask_place, loaded_place, read_place
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CheckMask(BaseTransform):
    """Refuse a mask that does not belong to its image, see :func:`check_mask`.

    Must come right after a host's transform that loads annotations: cropping a mask of another
    size fits it to the image. ``LoadAnnotationsToBinary`` and ``IgnoreNodata`` check by themselves.
    """

    def transform(self, results: dict) -> dict:
        """Return the results, with or without a mask, unchanged."""
        if 'gt_seg_map' in results:
            check_mask(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def check_mask(results: dict) -> None:
    """Refuse ``results['gt_seg_map']``, as loaded, if it does not belong to the image.

    Georeferencing is compared if the loader of the image has returned it, as ``LoadGeoTIFF`` does,
    and the mask is a GeoTIFF that has its own.

    Raises:
        OSError: The mask is a TIFF that GDAL does not read.
        ValueError: Mask and image differ in size or place; the message names both files.
    """
    mask, size, path = results['gt_seg_map'], results.get('ori_shape'), results.get('seg_map_path')
    if size is not None and tuple(size[:2]) != mask.shape[:2]:
        raise ValueError(
            f'mask {path} is of {mask.shape[1]} x {mask.shape[0]} pixels, its image '
            f'{results.get("img_path")} of {size[1]} x {size[0]}. Give masks of the size of '
            'their images'
        )
    placed = results.get('transform') is not None or results.get('points') is not None
    if placed and str(path).lower().endswith(('.tif', '.tiff')):
        check_mask_place(loaded_place(results), read_place(path))
