"""Images whose bands are files of their own, as those of Sentinel-2. Needs rasterio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from rasterio.errors import RasterioError

from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadBandFiles(BaseTransform):
    """Load bands from ``<folder>/<folder's name>_<band>.tif``, the layout of BigEarthNet.

    Bands of coarser resolution are interpolated to the size of the finest.

    Args:
        bands: Names of the bands in the order of the image's channels.
        scaling: (low, high), the numbers of the file that become 0 and 255; those between are
            scaled linearly, those beyond cut off. None: numbers stay as they are.

    Raises:
        OSError: A file is missing or damaged; the message names it.
        ValueError: ``scaling`` does not grow.
    """

    def __init__(self, bands: Sequence[str], scaling: tuple[float, float] | None = None) -> None:
        if scaling is not None and not scaling[0] < scaling[1]:
            raise ValueError(f'scaling is {scaling}; give (low, high) with low < high')
        self.bands = bands
        self.scaling = scaling

    def transform(self, results: dict) -> dict:
        """Load the folder ``results['img_path']`` into ``img``, (H, W, bands) float32."""
        folder = Path(results['img_path'])
        bands = [self._read(folder / f'{folder.name}_{band}.tif') for band in self.bands]
        height, width = np.max([band.shape for band in bands], axis=0)
        # cv2 takes the width first
        size = (int(width), int(height))
        image = np.stack([cv2.resize(b, size, interpolation=cv2.INTER_LINEAR) for b in bands], -1)
        if self.scaling is not None:
            low, high = self.scaling
            image = ((image - low) * (255 / (high - low))).clip(0, 255)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    @staticmethod
    def _read(path: Path) -> np.ndarray:
        try:
            with rasterio.open(path) as file:
                return file.read(1).astype(np.float32)
        except RasterioError as error:
            raise OSError(
                f'cannot load band {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again, or take it out of the dataset'
            ) from error

    def __repr__(self) -> str:
        return f'{type(self).__name__}(bands={self.bands}, scaling={self.scaling})'
