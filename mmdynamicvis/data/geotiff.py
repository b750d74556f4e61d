"""Images of any bands from GeoTIFFs, and pixels that have no data. Needs rasterio."""

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
"""Where GDAL has what a file says of its numbers, apart from their dtype."""
OPAQUE = (1, 255, 65535)
"""What masks have where there is data."""
LARGEST = 2**24
"""Up to here, float32 holds every integer."""


@TRANSFORMS.register_module()
class LoadGeoTIFF(BaseTransform):
    """Load chosen bands of a GeoTIFF (or of anything else that GDAL reads).

    Which pixels have no data, comes from the file: its nodata value, its mask, or its alpha band
    (see ``alpha``); and from ``nodata``. Numbers that are not finite are no data in any case. Those
    pixels get ``nodata_fill`` in the image; put ``IgnoreNodata`` behind the transform
    that loads annotations, so that they count neither in the loss nor in the metrics.

    Args:
        bands: Bands in the order of the network's channels, counted from 1 as in GDAL. 'red',
            'green' and 'blue' are the bands that the file calls so, and 1, 2 and 3 where it does
            not name all three. By default all bands, three as red, green, blue.
        nodata: Value of pixels without data, where the file does not say or is wrong.
        nodata_where: A pixel is without data if that is so in 'any' of the bands, or in 'all'.
            'all' is for 8-bit files in which 0 is no data, but also black in single bands.
        nodata_fill: What is put there, one number or one per band; the mean is harmless.
        dtype: dtype that files must have, e.g. 'uint16', that of the statistics in use; None for
            any.
        alpha: What a band is that the file calls alpha and that is not among ``bands``. 'mask':
            there is no data where it is 0; 'band': it says nothing of that, as near infrared, which
            GDAL calls alpha in many files of four bands. None: a mask, if it has no number beside 0
            but one of 1, 255 and 65535, and an error otherwise.

    Raises:
        OSError: The file is missing, truncated or not read by GDAL; the message names it.
        ValueError: The file lacks a band or has another dtype, or fewer than 8 bits where ``dtype``
            is 'uint8', or numbers that are no brightness (complex ones, places in a palette, white
            as zero) or that float32 does not hold; it is not clear what its alpha band is; or
            ``nodata_fill`` has another number of values than there are bands.
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
        """Load ``results['img_path']``.

        Adds ``img``, (H, W, bands) float32 in the units of the file, ``nodata``, (H, W) bool, and
        ``img_shape`` and ``ori_shape``, height and width in pixels, ``crs``, the reference system
        as text or None, and ``transform``, from pixels to it, or
        None, and ``scales``, per band the scale and the offset that the file states.
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
        """Read a window of an open file, all of it by default.

        Returns:
            The image, (H, W, bands) float32 in the units of the file, and where there is no data,
            (H, W) bool.

        Raises:
            rasterio.errors.RasterioError: The file is damaged.
            ValueError: As the class says.
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
        """Return the bands to read."""
        path = file.name
        if not file.count:
            raise ValueError(
                f'{path} is no raster, but holds {len(file.subdatasets)}. Give one of them: '
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
                f'{path} has {count}, and {bands} are asked for. Choose others with bands=..., '
                f'counted from 1{example}'
            )
        fills = np.size(self.nodata_fill)
        if fills not in (1, len(bands)):
            raise ValueError(f'nodata_fill has {fills} values for {len(bands)} bands of {path}')
        found = {file.dtypes[band - 1] for band in bands}
        if self.dtype is not None and found != {self.dtype}:
            raise ValueError(
                f'{path} has dtype {", ".join(sorted(found))}, not {self.dtype}. Means and '
                'deviations are of one scale: convert the file, or give those of its numbers'
            )
        structure = [file.tags(ns=STRUCTURE), *(file.tags(band, ns=STRUCTURE) for band in bands)]
        bits = min(int(tags.get('NBITS', 8)) for tags in structure)
        if self.dtype == 'uint8' and bits < 8:
            raise ValueError(
                f'{path} has {bits} bits per band, 0 to {2**bits - 1}, which are next to black '
                f'among those of 8: gdal_translate -co NBITS=8 -scale 0 {2**bits - 1} 0 255'
            )
        if any(tags.get('MINISWHITE') == 'YES' for tags in structure):
            raise ValueError(
                f'{path} stores white as zero, so that its numbers are of a negative: turn them '
                'over first, as by gdal_translate -co PHOTOMETRIC=MINISBLACK -scale 0 255 255 0'
            )
        if any(dtype.startswith('complex') for dtype in found):
            raise ValueError(
                f'{path} has complex numbers ({", ".join(sorted(found))}), of which a network '
                'takes one part alone: write the amplitude, or what it was trained on, to a file'
            )
        if any(file.colorinterp[band - 1] == ColorInterp.palette for band in bands):
            raise ValueError(
                f'{path} has a palette: its numbers are places in a list of colors. Write the '
                'colors to a file first, by gdal_translate -expand rgb'
            )
        if stated := set(_scales(file, bands)) - {(1.0, 0.0)}:
            _tell_scales(*sorted(stated))
        return bands

    def _missing(
        self, file: rasterio.DatasetReader, bands: list[int], window: Window | None
    ) -> np.ndarray:
        """Return (bands, H, W) bool, where the file says that it has no data."""
        missing_CHW = file.read_masks(bands, window=window) == 0
        alphas = [i for i, kind in enumerate(file.colorinterp, 1) if kind == ColorInterp.alpha]
        if not alphas:
            return missing_CHW
        # GDAL takes the fourth band of four for alpha where a file does not say that it is another,
        # as near infrared: a band that is an input is no mask.
        if self.alpha == 'band' or set(alphas) & set(bands):
            for missing_HW, band in zip(missing_CHW, bands, strict=True):
                missing_HW &= MaskFlags.alpha not in file.mask_flag_enums[band - 1]
        elif self.alpha is None:
            alpha_HW = file.read(alphas[0], window=window)
            opaque = alpha_HW[alpha_HW != 0]
            if opaque.size and (opaque.min() < opaque.max() or opaque.max() not in OPAQUE):
                raise ValueError(
                    f'{file.name} calls band {alphas[0]} alpha, and it has numbers from '
                    f'{opaque.min()} to {opaque.max()} beside 0: say what it is. '
                    "alpha='mask': where it is 0, there is no data; alpha='band': it is another "
                    'band, near infrared for example'
                )
        return missing_CHW

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(bands={self.bands}, nodata={self.nodata}, '
            f'nodata_where={self.nodata_where!r}, nodata_fill={self.nodata_fill}, '
            f'dtype={self.dtype!r}, alpha={self.alpha!r})'
        )


def color_bands(file: rasterio.DatasetReader) -> list[int]:
    """Return the bands that a file calls red, green and blue; else 1, 2 and 3."""
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
            f'{file.name} has integers from {low} to {high}, and networks take float32, which '
            f'rounds those beyond {LARGEST:,}. If they stand for no data, say so (nodata=...); '
            'else scale the file'
        )


def _scales(file: rasterio.DatasetReader, bands: Sequence[int]) -> tuple[tuple[float, float], ...]:
    return tuple((file.scales[band - 1], file.offsets[band - 1]) for band in bands)


@cache  # once
def _tell_scales(*stated: tuple[float, float]) -> None:
    print_log(
        f'rasters state scales and offsets of their bands, as {stated[0]}, which are not applied: '
        'means and deviations must be of the numbers as they are stored',
        'current',
        logging.WARNING,
    )


@TRANSFORMS.register_module()
class IgnoreNodata(BaseTransform):
    """Give pixels without data, as ``LoadGeoTIFF`` found them, the label that is ignored.

    Belongs right behind the transform that loads the annotations, in the size of the file.

    Args:
        ignore_index: The label.

    Raises:
        ValueError: The mask of the annotations has another size than the image.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Change ``results['gt_seg_map']``, (H, W), if there is one."""
        # taken out, as it would be out of step with what later transforms do to the image
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
