"""Loading of GeoTIFFs with any bands, and handling of nodata pixels. Requires rasterio."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from mmdynamicvis.data.grids import place_of
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS

COLORS = ('red', 'green', 'blue')
STRUCTURE = 'IMAGE_STRUCTURE'
"""GDAL's tags about the encoding of values: bits per value, white stored as zero."""
OPAQUE = (1, 255, 65535)
"""Values of alpha masks where there is data."""
LARGEST = 2**24
"""Float32 represents every integer up to this one exactly."""


@TRANSFORMS.register_module()
class LoadGeoTIFF(BaseTransform):
    """Load selected bands of a GeoTIFF, or of any other raster that GDAL reads.

    Nodata pixels are determined by the file (its nodata value, its mask, or its alpha band; see
    ``alpha``) and by the argument ``nodata``. Values that are not finite are always nodata. Nodata
    pixels get ``nodata_fill`` in the image. Put ``IgnoreNodata`` right after the transform that
    loads annotations to exclude them from the loss and the metrics.

    Args:
        bands: Bands in the order of the network's channels, counted from 1 as in GDAL. 'red',
            'green' and 'blue' are the bands with these color interpretations, or bands 1, 2 and 3
            if the file does not name all three. By default all bands; a file of three bands is
            read in the order red, green, blue.
        nodata: Value of nodata pixels, for files that state none or a wrong one.
        nodata_where: Whether a pixel is nodata if 'any' of its bands is, or only if 'all' are.
            'all' is for 8-bit files in which 0 means nodata but also occurs in single bands.
        nodata_fill: Value that nodata pixels get in the image, one number or one per band. The
            mean of the normalization is a neutral choice.
        dtype: dtype that files must have, e.g. 'uint16', so that they match the normalization
            statistics; None accepts any.
        alpha: How to interpret a band that the file calls alpha and that is not among ``bands``.
            'mask': pixels where it is 0 are nodata. 'band': it says nothing about nodata; GDAL
            calls near infrared alpha in many files of four bands. None: a mask if its only value
            besides 0 is 1, 255 or 65535, an error otherwise.

    Raises:
        OSError: The file is missing, truncated or not readable by GDAL; the message names it.
        ValueError: The file lacks a band, has another dtype, or has fewer than 8 bits where
            ``dtype`` is 'uint8'; its values are complex, palette indices, integers that float32
            cannot represent, or store white as zero; the meaning of its alpha band is
            ambiguous; or the length of ``nodata_fill`` differs from the number of bands.
    """

    def __init__(
        self,
        bands: Sequence[int | str] | None = None,
        nodata: float | None = None,
        nodata_where: Literal['any', 'all'] = 'any',
        nodata_fill: float | Sequence[float] = 0.0,
        dtype: str | None = None,
        alpha: Literal['mask', 'band'] | None = None,
    ) -> None:
        if alpha not in ('mask', 'band', None):
            raise ValueError(f"alpha is {alpha!r}; give 'mask', 'band' or None")
        if nodata_where not in ('any', 'all'):
            raise ValueError(f"nodata_where is {nodata_where!r}; give 'any' or 'all'")
        if bands is not None and not (bands and all(map(_is_band, bands))):
            raise ValueError(
                f'bands is {bands}; bands are counted from 1, or {", ".join(map(repr, COLORS))}'
            )
        self.bands = bands
        self.nodata = nodata
        self.nodata_where = nodata_where
        self.nodata_fill = nodata_fill
        self.dtype = dtype
        self.alpha = alpha

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']`` and add the following keys.

        ====================  =============================================================
        key                   value
        ====================  =============================================================
        img                   (H, W, bands) float32 in the units of the file
        nodata                (H, W) bool
        img_shape, ori_shape  (height, width) in pixels
        crs                   coordinate reference system as text, or None
        transform             affine transform from pixels to the reference system, or None
        scales                (scale, offset) per band as stated by the file
        ====================  =============================================================
        """
        path = results['img_path']
        try:
            with rasterio.open(path) as file:
                image, results['nodata'] = self.read(file)
                results['crs'] = str(file.crs) if file.crs else None
                results['transform'] = place_of(file).transform
                results['scales'] = _scales(file, self._check(file))
        except RasterioError as error:
            raise OSError(
                f'cannot load image {path} ({type(error).__name__}: {error}). '
                'Copy or download the file again, or take it out of the dataset'
            ) from error
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def read(
        self, file: rasterio.DatasetReader, window: Window | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of an open file, by default the whole file.

        Returns:
            The image, (H, W, bands) float32 in the units of the file, and its nodata mask, (H, W)
            bool.

        Raises:
            rasterio.errors.RasterioError: The file is damaged.
            ValueError: See the class.
        """
        bands = self._check(file)
        numbers_CHW = file.read(bands, window=window)
        missing_CHW = self._missing(file, bands, window)
        if self.nodata is not None:
            missing_CHW |= numbers_CHW == self.nodata
        image_CHW = numbers_CHW.astype(np.float32)
        not_finite_CHW = ~np.isfinite(image_CHW)
        missing_HW = getattr(missing_CHW, self.nodata_where)(0) | not_finite_CHW.any(0)
        _check_size(file, numbers_CHW[:, ~missing_HW])
        image = np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
        image[missing_HW] = self.nodata_fill
        return image, missing_HW

    def _check(self, file: rasterio.DatasetReader) -> list[int]:
        """Return the bands to read, counted from 1, after validating the file."""
        path = file.name
        if not file.count:
            raise ValueError(
                f'{path} is not one raster, but has {len(file.subdatasets)} of them. Give one: '
                f'{shorten(file.subdatasets)}'
            )
        colors = dict(zip(COLORS, color_bands(file), strict=True))
        every = COLORS if file.count == 3 else range(1, file.count + 1)
        bands = [colors.get(band, band) for band in self.bands or every]
        if max(bands) > file.count:
            count, example = '1 band', f', {[1] * len(bands)} for example'
            if file.count > 1:
                count, example = f'{file.count} bands', ''
            raise ValueError(
                f'{path} has {count}, but {bands} are requested. Choose others with bands=..., '
                f'counted from 1{example}'
            )
        fills = np.size(self.nodata_fill)
        if fills not in (1, len(bands)):
            raise ValueError(f'nodata_fill has {fills} values for {len(bands)} bands of {path}')
        found = {file.dtypes[band - 1] for band in bands}
        if self.dtype is not None and found != {self.dtype}:
            raise ValueError(
                f'{path} has dtype {", ".join(sorted(found))}, not {self.dtype}. Means and '
                'deviations depend on the scale: convert the file, or give those of its values'
            )
        structure = [file.tags(ns=STRUCTURE), *(file.tags(band, ns=STRUCTURE) for band in bands)]
        bits = min(int(tags.get('NBITS', 8)) for tags in structure)
        if self.dtype == 'uint8' and bits < 8:
            raise ValueError(
                f'{path} has {bits} bits per band, 0 to {2**bits - 1}, which an 8-bit model '
                'would see as almost black. Convert it: '
                f'gdal_translate -co NBITS=8 -scale 0 {2**bits - 1} 0 255'
            )
        if any(tags.get('MINISWHITE') == 'YES' for tags in structure):
            raise ValueError(
                f'{path} stores white as zero, so the image would be inverted. Convert it: '
                'gdal_translate -co PHOTOMETRIC=MINISBLACK -scale 0 255 255 0'
            )
        if any(dtype.startswith('complex') for dtype in found):
            raise ValueError(
                f'{path} has complex numbers ({", ".join(sorted(found))}), which networks do not '
                'support: write the amplitude, or the part that it was trained on, to a file'
            )
        if any(file.colorinterp[band - 1] == ColorInterp.palette for band in bands):
            raise ValueError(
                f'{path} has a palette: its values are indices of colors. Write the colors to a '
                'file first, with gdal_translate -expand rgb'
            )
        if stated := set(_scales(file, bands)) - {(1.0, 0.0)}:
            _tell_scales(*sorted(stated))
        return bands

    def _missing(
        self, file: rasterio.DatasetReader, bands: list[int], window: Window | None
    ) -> np.ndarray:
        """Return the nodata mask that the file itself states, (bands, H, W) bool."""
        missing_CHW = file.read_masks(bands, window=window) == 0
        alphas = [i for i, kind in enumerate(file.colorinterp, 1) if kind == ColorInterp.alpha]
        if not alphas:
            return missing_CHW
        # GDAL assumes that the fourth of four bands is alpha unless the file states otherwise. A
        # band that is used as an input (near infrared, for example) is therefore not a mask.
        if self.alpha == 'band' or set(alphas) & set(bands):
            for missing_HW, band in zip(missing_CHW, bands, strict=True):
                missing_HW &= MaskFlags.alpha not in file.mask_flag_enums[band - 1]
        elif self.alpha is None:
            alpha_HW = file.read(alphas[0], window=window)
            opaque = alpha_HW[alpha_HW != 0]
            if opaque.size and (opaque.min() < opaque.max() or opaque.max() not in OPAQUE):
                raise ValueError(
                    f'{file.name} calls band {alphas[0]} alpha, but it has values from '
                    f'{opaque.min()} to {opaque.max()} besides 0: say what it is. '
                    "alpha='mask': 0 means nodata; alpha='band': it is a spectral band, near "
                    'infrared for example'
                )
        return missing_CHW

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(bands={self.bands}, nodata={self.nodata}, '
            f'nodata_where={self.nodata_where!r}, nodata_fill={self.nodata_fill}, '
            f'dtype={self.dtype!r}, alpha={self.alpha!r})'
        )


def color_bands(file: rasterio.DatasetReader) -> list[int]:
    """Return the bands that a file calls red, green and blue, counted from 1; else [1, 2, 3]."""
    kinds = [kind.name for kind in file.colorinterp]
    if all(kinds.count(color) == 1 for color in COLORS):
        return [kinds.index(color) + 1 for color in COLORS]
    return [1, 2, 3]


def _is_band(band: int | str) -> bool:
    return band in COLORS if isinstance(band, str) else band >= 1


def _check_size(file: rasterio.DatasetReader, numbers: np.ndarray) -> None:
    """Raise a ValueError if float32 would round the numbers of a file of integers."""
    if numbers.dtype.kind not in 'iu' or numbers.dtype.itemsize < 4 or not numbers.size:
        return
    low, high = int(numbers.min()), int(numbers.max())
    if low < -LARGEST or high > LARGEST:
        raise ValueError(
            f'{file.name} has integers from {low} to {high}, but networks use float32, which '
            f'rounds those beyond {LARGEST:,}. If they mean nodata, give nodata=...; otherwise '
            'scale the file'
        )


def _scales(file: rasterio.DatasetReader, bands: Sequence[int]) -> tuple[tuple[float, float], ...]:
    return tuple((file.scales[band - 1], file.offsets[band - 1]) for band in bands)


@cache  # so that each scale is warned about once
def _tell_scales(*stated: tuple[float, float]) -> None:
    print_log(
        f'rasters state scales and offsets of their bands, as {stated[0]}, which are not applied: '
        'means and deviations must be those of the stored values',
        'current',
        logging.WARNING,
    )


@TRANSFORMS.register_module()
class IgnoreNodata(BaseTransform):
    """Set the label of nodata pixels, as found by ``LoadGeoTIFF``, to the ignored index.

    Must come right after the transform that loads the annotations, before images are resized.

    Args:
        ignore_index: Label of pixels that losses and metrics ignore.

    Raises:
        ValueError: The segmentation map and the image differ in size.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Modify ``results['gt_seg_map']``, (H, W), if there is one, and remove ``nodata``."""
        # later transforms would not keep the mask aligned with the image
        nodata, labels = results.pop('nodata'), results.get('gt_seg_map')
        if labels is None:
            return results
        if nodata.shape != labels.shape:
            raise ValueError(
                f'{results["img_path"]} is of {nodata.shape[0]} x {nodata.shape[1]} pixels, its '
                f'mask {results.get("seg_map_path")} of {labels.shape[0]} x {labels.shape[1]}. Put '
                'IgnoreNodata right behind the transform that loads annotations'
            )
        labels[nodata] = self.ignore_index
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ignore_index={self.ignore_index})'
