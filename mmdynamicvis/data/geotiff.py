"""Loading of GeoTIFFs with any bands, and handling of nodata pixels. Requires rasterio."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from numbers import Real
from typing import Literal

import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from mmdynamicvis.band_names import spelling
from mmdynamicvis.data.grids import Encoding, encoding_of, place_of
from mmdynamicvis.data.image_files import annotation_problem
from mmdynamicvis.data.masks import check_mask
from mmdynamicvis.data.sensors import PHYSICAL, Sensor, check_reading, locate
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS

COLORS = ('red', 'green', 'blue')
STRUCTURE = 'IMAGE_STRUCTURE'
"""GDAL's tags about the encoding of values: bits per value, white stored as zero."""
NO_COLORS = (ColorInterp.undefined, ColorInterp.gray, ColorInterp.palette, ColorInterp.alpha)
"""Color interpretations that do not name a band."""
OPAQUE = (1, 255, 65535)
"""Values of alpha masks where there is data."""
LARGEST = 2**24
"""Float32 represents every integer up to this one exactly."""
UNSCALED = (1.0, 0.0)
"""Scale and offset that change nothing."""


@TRANSFORMS.register_module()
class LoadGeoTIFF(BaseTransform):
    """Load selected bands of a GeoTIFF, or of any other raster that GDAL reads.

    Nodata pixels are determined by the file (its nodata value, its mask, or its alpha band; see
    ``alpha``) and by the argument ``nodata``. Values that are not finite are always nodata. Nodata
    pixels get ``nodata_fill`` in the image. Put ``IgnoreNodata`` right after the transform that
    loads annotations to exclude them from the loss and the metrics.

    Bands may be given by name, and values converted to a unit:

    - Names are those of the file (its descriptions, or the color interpretations red, green and
      blue) and, with a ``sensor``, all names of the sensor's bands. Files without names are read
      by position, if they have as many bands as a stack of the sensor; see
      :func:`mmdynamicvis.data.sensors.locate`.
    - Reflectance and backscatter follow from the scale and offset that the sensor declares, or
      else from those that the file states; they are never applied twice. If both tell, they must
      be the same.

    Args:
        bands: Bands in the order of the network's channels: numbers, counted from 1 as in GDAL, or
            names, which need a ``unit``. By default all bands; a file of three bands is read in
            the order red, green, blue.
        nodata: Number in the file of nodata pixels, for files that state none or a wrong one.
        nodata_where: Whether a pixel is nodata if 'any' of its bands is, or only if 'all' are.
            'all' is for 8-bit files in which 0 means nodata but also occurs in single bands.
        nodata_fill: Value that nodata pixels get in the image, in its unit, one number or one per
            band. The mean of the normalization is a neutral choice.
        dtype: dtype that files must have, e.g. 'uint16', so that they match the normalization
            statistics; None accepts any.
        alpha: How to interpret a band that the file calls alpha and that is not among ``bands``.
            'mask': pixels where it is 0 are nodata. 'band': it says nothing about nodata; GDAL
            calls near infrared alpha in many files of four bands. None: a mask if its only value
            besides 0 is 1, 255 or 65535, an error otherwise.
        sensor: Sensor of the files, one of :data:`mmdynamicvis.data.sensors.SENSORS`.
        unit: Unit of the image: 'reflectance'; 'linear' or 'dB' (backscatter); 'uint8', which
            refuses other files; or 'stored', the numbers in the file. None, the numbers in the
            file too, is for bands that are given by number.

    Raises:
        OSError: The file is missing, truncated or not readable by GDAL; the message names it.
        ValueError: The file lacks a band, has another dtype, or has fewer than 8 bits where
            ``dtype`` is 'uint8'; its values are complex, palette indices, integers that float32
            cannot represent, or store white as zero; the meaning of its alpha band is
            ambiguous; the length of ``nodata_fill`` differs from the number of bands; bands are
            named, but no unit; the file does not tell values in the unit, or contradicts the
            sensor; or its annotations are of another size or have a box outside it.
    """

    def __init__(
        self,
        bands: Sequence[int | str] | None = None,
        nodata: float | None = None,
        nodata_where: Literal['any', 'all'] = 'any',
        nodata_fill: float | Sequence[float] = 0.0,
        dtype: str | None = None,
        alpha: Literal['mask', 'band'] | None = None,
        sensor: str | None = None,
        unit: Literal['reflectance', 'linear', 'dB', 'uint8', 'stored'] | None = None,
    ) -> None:
        if alpha not in ('mask', 'band', None):
            raise ValueError(f"alpha is {alpha!r}; give 'mask', 'band' or None")
        if nodata is not None and not isinstance(nodata, Real):
            raise ValueError(f'nodata is {nodata!r}; give one number')
        if nodata_where not in ('any', 'all'):
            raise ValueError(f"nodata_where is {nodata_where!r}; give 'any' or 'all'")
        self._sensor = check_reading(bands, sensor, unit)
        if unit == 'uint8':
            if dtype not in (None, 'uint8'):
                raise ValueError(f"unit is 'uint8', but dtype {dtype!r}; leave dtype out")
            dtype = 'uint8'
        self.sensor = sensor
        self.unit = unit
        self.bands = bands
        self.nodata = nodata
        self.nodata_where = nodata_where
        self.nodata_fill = nodata_fill
        self.dtype = dtype
        self.alpha = alpha

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']`` and add the following keys.

        ====================  =====================================================================
        key                   value
        ====================  =====================================================================
        img                   (H, W, bands) float32 in ``unit``, by default in the units of the file
        nodata                (H, W) bool
        img_shape, ori_shape  (height, width) in pixels
        crs                   coordinate reference system as text, or None
        transform             affine transform from pixels to the reference system, or None
        points                ground control points and RPCs of a file without transform, or None
        dtypes, scales        dtype and (scale, offset) per band of the file, see :meth:`encoding`
        ====================  =====================================================================
        """
        path = results['img_path']
        try:
            with rasterio.open(path) as file:
                if problem := annotation_problem((file.width, file.height), results):
                    raise ValueError(f'image {path} {problem}')
                image, results['nodata'] = self.read(file)
                results['crs'] = str(file.crs) if file.crs else None
                *_, results['transform'], results['points'] = place_of(file)
                _, results['dtypes'], results['scales'] = self.encoding(file)
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
            The image, (H, W, bands) float32 in ``unit``, by default in the units of the file, and
            its nodata mask, (H, W) bool.

        Raises:
            rasterio.errors.RasterioError: The file is damaged.
            ValueError: See the class.
        """
        bands = self._check(file)
        numbers_CHW = file.read(bands, window=window)
        missing_CHW = self._missing(file, bands, numbers_CHW, window)
        if self.nodata is not None:
            missing_CHW |= numbers_CHW == self.nodata
        image_CHW = self._converted(numbers_CHW.astype(np.float32), file, bands)
        not_finite_CHW = ~np.isfinite(image_CHW)
        missing_HW = getattr(missing_CHW, self.nodata_where)(0) | not_finite_CHW.any(0)
        _check_size(file, numbers_CHW[:, ~missing_HW])
        image = np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
        image[missing_HW] = self.nodata_fill
        return image, missing_HW

    def encoding(self, file: rasterio.DatasetReader) -> Encoding:
        """Return how equal numbers of images of several files can mean different values.

        That is how an open file stores the bands to read, which are validated as in ``read``.
        Values in a physical unit mean the same whatever a file stores.
        """
        bands = self._check(file)
        if self.unit in PHYSICAL:
            n = len(bands)
            return Encoding(file.name, ('float32',) * n, (UNSCALED,) * n)
        return encoding_of(file, bands)

    def _check(self, file: rasterio.DatasetReader) -> list[int]:
        """Return the bands to read, counted from 1, after validating the file."""
        path = file.name
        if not file.count:
            raise ValueError(
                f'{path} is not one raster, but has {len(file.subdatasets)} of them. Give one: '
                f'{shorten(file.subdatasets)}'
            )
        names = [spelling(label or '') for label in labels(file)]
        every = range(1, file.count + 1)
        if sorted(names) == sorted(COLORS):
            every = [names.index(color) + 1 for color in COLORS]
        try:
            bands = locate(self.bands or every, labels(file), self._sensor)
        except ValueError as error:
            raise ValueError(f'{path} {error}') from error
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
        for band in bands:
            if not _can_be(self.nodata, file.dtypes[band - 1]):
                raise ValueError(
                    f'nodata is {self.nodata}, which no number of {path} can be: its dtype is '
                    f'{file.dtypes[band - 1]}'
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
        if self.unit in PHYSICAL:
            self._scaling(file, bands)
        elif stated := set(_scales(file, bands)) - {UNSCALED}:
            _tell_scales(*sorted(stated))
        return bands

    def _scaling(
        self, file: rasterio.DatasetReader, bands: Sequence[int]
    ) -> tuple[tuple[float, float], ...]:
        """Return (scale, offset) of each band, after comparing what sensor and file say."""
        sensor, stated = self._sensor, _scales(file, bands)
        if sensor is not None:
            _check_sensor(file, bands, sensor)
        usable = all(np.isfinite(pair).all() and pair[0] != 0 for pair in stated)
        if not usable or (UNSCALED in stated and set(stated) != {UNSCALED}):
            raise ValueError(
                f'{file.name} states the scales and offsets {stated}, which do not tell '
                f"{self.unit}: correct them in the file, or read its numbers with unit='stored'"
            )
        values = sensor.unit if sensor else self.unit
        units = [file.units[band - 1] or '' for band in bands]
        if values == 'linear' and any(unit.strip().lower() == 'db' for unit in units):
            raise ValueError(
                f"{file.name} states the unit 'dB', and is read as linear: give the sensor "
                "'sentinel1_db', or unit='dB' without a sensor"
            )
        integers = any(np.dtype(file.dtypes[band - 1]).kind in 'iu' for band in bands)
        declared = sensor and sensor.scaling
        if declared is not None:
            for band, scaling in zip(bands, stated, strict=True):
                if scaling != UNSCALED and not np.allclose(scaling, declared, rtol=1e-4, atol=0):
                    raise ValueError(
                        f'{file.name} states scale and offset {scaling} of band {band}, sensor '
                        f'{sensor.name!r} has {declared}. Give the sensor of the product, or leave '
                        'it out to apply those of the file'
                    )
        if set(stated) != {UNSCALED}:
            return stated if declared is None else (declared,) * len(bands)
        if integers and declared is None:
            raise ValueError(
                f'{file.name} has integers without scale and offset, which do not tell '
                f'{self.unit}. Give the sensor, write scales and offsets to the file, or read the '
                "numbers with unit='stored'"
            )
        if not integers and declared is not None:
            raise ValueError(
                f'{file.name} has dtype {file.dtypes[bands[0] - 1]}, but the scale and offset '
                f'{declared} of sensor {sensor.name!r} are those of integers. If its values are '
                f"{self.unit} already, give unit='stored'"
            )
        return (declared or UNSCALED,) * len(bands)

    def _converted(
        self, image_CHW: np.ndarray, file: rasterio.DatasetReader, bands: Sequence[int]
    ) -> np.ndarray:
        """Return the image in ``unit``; logarithms of numbers that have none are not finite."""
        if self.unit not in PHYSICAL:
            return image_CHW
        scales, offsets = np.transpose(self._scaling(file, bands)).astype(np.float32)
        image_CHW *= scales[:, None, None]
        image_CHW += offsets[:, None, None]
        change = (self._sensor.unit if self._sensor else self.unit, self.unit)
        if change == ('linear', 'dB'):
            with np.errstate(divide='ignore', invalid='ignore'):
                return 10 * np.log10(image_CHW)
        if change == ('dB', 'linear'):
            return 10 ** (image_CHW / 10)
        return image_CHW

    def _missing(
        self,
        file: rasterio.DatasetReader,
        bands: list[int],
        numbers_CHW: np.ndarray,
        window: Window | None,
    ) -> np.ndarray:
        """Return the nodata mask that the file itself states, (bands, H, W) bool."""
        # GDAL returns one source: a mask, else the nodata value, else alpha. All of them count.
        missing_CHW = file.read_masks(bands, window=window) == 0
        for missing_HW, numbers_HW, band in zip(missing_CHW, numbers_CHW, bands, strict=True):
            stated = file.nodatavals[band - 1]
            if stated is not None and MaskFlags.nodata not in file.mask_flag_enums[band - 1]:
                missing_HW |= numbers_HW == stated
        alphas = [i for i, kind in enumerate(file.colorinterp, 1) if kind == ColorInterp.alpha]
        if not alphas:
            return missing_CHW
        # GDAL assumes that the fourth of four bands is alpha unless the file states otherwise. A
        # band that is used as an input (near infrared, for example) is therefore not a mask.
        if self.alpha == 'band' or set(alphas) & set(bands):
            for missing_HW, band in zip(missing_CHW, bands, strict=True):
                missing_HW &= MaskFlags.alpha not in file.mask_flag_enums[band - 1]
            return missing_CHW
        alpha_HW = file.read(alphas[0], window=window)
        opaque = alpha_HW[alpha_HW != 0]
        is_mask = not opaque.size or (opaque.min() == opaque.max() and opaque.max() in OPAQUE)
        if self.alpha is None and not is_mask:
            raise ValueError(
                f'{file.name} calls band {alphas[0]} alpha, but it has values from '
                f'{opaque.min()} to {opaque.max()} besides 0: say what it is. '
                "alpha='mask': 0 means nodata; alpha='band': it is a spectral band, near "
                'infrared for example'
            )
        return missing_CHW | (alpha_HW == 0)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(bands={self.bands}, nodata={self.nodata}, '
            f'nodata_where={self.nodata_where!r}, nodata_fill={self.nodata_fill}, '
            f'dtype={self.dtype!r}, alpha={self.alpha!r}, sensor={self.sensor!r}, '
            f'unit={self.unit!r})'
        )


def labels(file: rasterio.DatasetReader) -> list[str | None]:
    """Return what a file calls its bands: descriptions, else the interpretations as colors.

    Descriptions say nothing if several bands share them, or if they only count ('Band 2').
    """
    found = []
    for band, text in enumerate(file.descriptions, 1):
        if text and (file.descriptions.count(text) > 1 or _counts(text, band)):
            text = None
        kind = file.colorinterp[band - 1]
        found.append(text or (None if kind in NO_COLORS else kind.name))
    return found


def _can_be(nodata: float | None, dtype: str) -> bool:
    """Whether a number can be in files of a dtype."""
    if nodata is None or np.dtype(dtype).kind not in 'iu':
        return True
    limits = np.iinfo(dtype)
    return float(nodata).is_integer() and limits.min <= nodata <= limits.max


def _counts(text: str, band: int) -> bool:
    return re.fullmatch(rf'(band|layer)?0*{band}', spelling(text)) is not None


def _check_sensor(file: rasterio.DatasetReader, bands: Sequence[int], sensor: Sensor) -> None:
    """Raise a ValueError if a file says that its values are not those of a sensor."""
    names = labels(file)
    known = {name for band in sensor.bands for name in band.spellings}
    for band in bands:
        if names[band - 1] and spelling(names[band - 1]) not in known:
            raise ValueError(
                f'{file.name} calls band {band} {names[band - 1]!r}, which is none of sensor '
                f"{sensor.name!r}: {sensor}. Choose others, or give unit='stored'"
            )
    baseline = file.tags().get('PROCESSING_BASELINE', '')
    if sensor.baselines and re.fullmatch(r'\d+\.\d+', baseline):
        first, end = sensor.baselines
        if not first <= float(baseline) < end:
            raise ValueError(
                f'{file.name} is of processing baseline {baseline}, whose offset is not that of '
                f"sensor {sensor.name!r}: give 'sentinel2' for 04.00 and later, "
                "'sentinel2_no_offset' for earlier ones"
            )


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
        ValueError: The segmentation map and the image differ in size or, if both are
            georeferenced, in place.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Modify the label maps, (H, W), if there are any, and remove ``nodata``.

        They are ``results['gt_seg_map']`` and those that ``results['seg_fields']`` names.
        """
        # later transforms would not keep the mask aligned with the image
        nodata = results.pop('nodata')
        fields = sorted({'gt_seg_map', *results.get('seg_fields', ())} & set(results))
        for labels in (results[field] for field in fields):
            if nodata.shape != labels.shape:
                raise ValueError(
                    f'{results["img_path"]} is of {nodata.shape[0]} x {nodata.shape[1]} pixels, '
                    f'its mask {results.get("seg_map_path")} of {labels.shape[0]} x '
                    f'{labels.shape[1]}. Put IgnoreNodata right behind the transform that loads '
                    'annotations'
                )
        if 'gt_seg_map' in fields:
            check_mask(results)
        for field in fields:
            results[field][nodata] = self.ignore_index
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ignore_index={self.ignore_index})'
