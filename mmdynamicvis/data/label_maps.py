"""Loading of label maps that belong to images of several modalities. Requires rasterio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from rasterio.errors import RasterioError

from mmdynamicvis.data.grids import Place, check_mask_place, place_of
from mmdynamicvis.data.modalities import with_data
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadLabelMap(BaseTransform):
    """Load the label map of a sample of several modalities, from any raster that GDAL reads.

    Must come right after ``LoadModalities``. The map has a grid of its own. It must cover the
    footprint of the images, or, without georeferencing, have the size of one of them. Pixels are
    ignored if the map has no data there, and if no image of any modality has.

    Args:
        no_label: Values in the file that mean no label, such as -1.
        ignore_index: Label of pixels that losses and metrics ignore.

    Raises:
        OSError: The file is missing, damaged or no raster; the message names it.
        ValueError: The map has several bands or values that are no labels, or does not belong to
            the images.
    """

    def __init__(self, no_label: Sequence[int] = (), ignore_index: int = 255) -> None:
        self.no_label = tuple(no_label)
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Load ``results['seg_map_path']``, if there is one.

        ``results['label_map']`` and ``results['reduce_zero_label']`` are applied as in mmseg. Adds
        ``gt_seg_map``, (H, W) uint8, and sets ``img_shape`` and ``ori_shape`` to its size.
        """
        path = results.get('seg_map_path')
        if path is None:
            return results
        if 'places' not in results:
            raise ValueError('put LoadLabelMap right behind LoadModalities')
        numbers, missing, place = _read(path)
        _check_place(place, results['places'])
        nothing = (*self.no_label, self.ignore_index)
        missing |= np.isin(numbers, nothing) | ~with_data(results['images'], numbers.shape)
        if results.get('reduce_zero_label'):
            missing |= numbers == 0
            numbers -= 1
        labels = numbers.copy()
        for old, new in (results.get('label_map') or {}).items():
            labels[numbers == old] = new
            if new == self.ignore_index:
                missing |= numbers == old
        wrong = np.unique(labels[~missing & ((labels < 0) | (labels >= self.ignore_index))])
        if wrong.size:
            raise ValueError(
                f'{path} has labels {shorten([f"{value:g}" for value in wrong])}, which are no '
                f'classes from 0 to {self.ignore_index - 1}. Values that mean no label are given '
                'as no_label'
            )
        labels[missing] = self.ignore_index
        results['gt_seg_map'] = labels.astype(np.uint8)
        results['img_shape'] = results['ori_shape'] = labels.shape
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(no_label={self.no_label}, ignore_index={self.ignore_index})'


def _read(path: str) -> tuple[np.ndarray, np.ndarray, Place]:
    """Return the numbers of a map, (H, W) int64, where it has no data, and its place."""
    try:
        with rasterio.open(path) as file:
            if file.count != 1:
                raise ValueError(f'{path} has {file.count} bands; a label map has one')
            numbers, missing, place = file.read(1), file.read_masks(1) == 0, place_of(file)
    except RasterioError as error:
        raise OSError(
            f'cannot load label map {path} ({type(error).__name__}: {error}). Copy or download the '
            'file again, or take it out of the dataset'
        ) from error
    if numbers.dtype.kind == 'f':
        missing |= ~np.isfinite(numbers)
        numbers = np.where(missing, 0, numbers)
        if (numbers != np.round(numbers)).any():
            raise ValueError(f'{path} has values that are no whole numbers: it is no label map')
    return numbers.astype(np.int64), missing, place


def _check_place(label: Place, images: Sequence[Place]) -> None:
    placed = images[0].transform is not None and (label.transform or label.points) is not None
    if not placed and label.shape not in [image.shape for image in images]:
        raise ValueError(
            f'label map {label.name} is of {label.shape} pixels (rows, columns), without '
            f'georeferencing to compare, its images of {[image.shape for image in images]}. Give '
            'a map of the size of one of them'
        )
    check_mask_place(images[0], label)
