"""Loading of images with one file per band, as from Sentinel-2. Requires rasterio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from rasterio.errors import RasterioError

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.data.grids import (
    Encoding,
    Place,
    check_encodings,
    check_places,
    place_of,
)
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadBandFiles(BaseTransform):
    """Load bands from ``<folder>/<folder's name>_<band>.tif``, the layout of BigEarthNet.

    Bands of coarser resolution are interpolated bilinearly to the size of the finest band. Nodata
    is determined as in ``LoadGeoTIFF``: a pixel is nodata if any band is nodata there, or nodata
    at a neighbor that the interpolation would use.

    Args:
        bands: Names of the bands in the order of the image's channels.
        scaling: (low, high): the values in the file that map to 0 and 255. Values in between are
            scaled linearly, values outside are clipped. None keeps the values unchanged.
        nodata: Value of nodata pixels, for files that do not state one.
        nodata_fill: Value that nodata pixels get in the image.

    Raises:
        OSError: A file is missing or damaged; the message names it.
        ValueError: ``scaling`` is not increasing, or a band does not cover the same area as the
            first one or states another scale or offset.
    """

    def __init__(
        self,
        bands: Sequence[str],
        scaling: tuple[float, float] | None = None,
        nodata: float | None = None,
        nodata_fill: float = 0.0,
    ) -> None:
        if scaling is not None and not scaling[0] < scaling[1]:
            raise ValueError(f'scaling is {scaling}; give (low, high) with low < high')
        self.bands = bands
        self.scaling = scaling
        self.unit = 'stored' if scaling is None else 'uint8'
        self.nodata = nodata
        self.nodata_fill = nodata_fill
        self._loader = LoadGeoTIFF([1], nodata)

    def transform(self, results: dict) -> dict:
        """Load the folder ``results['img_path']``.

        Adds the keys of ``LoadGeoTIFF.transform``; the georeferencing is that of the finest band.
        """
        folder = Path(results['img_path'])
        bands, missing, places, encodings = zip(
            *(self._read(folder / f'{folder.name}_{band}.tif') for band in self.bands), strict=True
        )
        for place, encoding in zip(places[1:], encodings[1:], strict=True):
            check_places(places[0], place)
            # dtypes may differ: all are read as float32
            check_encodings(encodings[0], encoding._replace(dtypes=encodings[0].dtypes))
        height, width = np.max([band.shape for band in bands], axis=0)
        # cv2 expects (width, height)
        size = (int(width), int(height))
        image, nodata = (
            np.stack([cv2.resize(b, size, interpolation=cv2.INTER_LINEAR) for b in of_bands], -1)
            for of_bands in (bands, missing)
        )
        if self.scaling is not None:
            low, high = self.scaling
            image = ((image - low) * (255 / (high - low))).clip(0, 255)
        results['nodata'] = nodata.any(-1)
        image[results['nodata']] = self.nodata_fill
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        finest = max(places, key=lambda place: place.shape)
        results['crs'] = str(finest.crs) if finest.crs else None
        results['transform'], results['points'] = finest.transform, finest.points
        for key in ('dtypes', 'scales'):
            results[key] = sum((getattr(encoding, key) for encoding in encodings), ())
        return results

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray, Place, Encoding]:
        """Return a band, (H, W) float32, its nodata mask, (H, W) float32, place and encoding."""
        try:
            with rasterio.open(path) as file:
                band, nodata = self._loader.read(file)
                place, encoding = place_of(file), self._loader.encoding(file)
                return band[..., 0], nodata.astype(np.float32), place, encoding
        except RasterioError as error:
            raise OSError(
                f'cannot load band {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again, or take it out of the dataset'
            ) from error

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(bands={self.bands}, scaling={self.scaling}, '
            f'nodata={self.nodata}, nodata_fill={self.nodata_fill})'
        )
