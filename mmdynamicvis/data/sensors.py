"""Bands of sensors: names, wavelengths, and how files store their values.

Sources:

- common names, and the wavelength of a band as the middle of its range:
  https://github.com/stac-extensions/eo
- Sentinel-2: https://sentiwiki.copernicus.eu/web/s2-products (bands, offset of baseline 04.00) and
  https://gdal.org/en/stable/drivers/raster/sentinel2.html (nominal wavelengths, tags)
- Sentinel-1: https://sentiwiki.copernicus.eu/web/s1-mission (5.405 GHz)
- Landsat 8 and 9: https://www.usgs.gov/landsat-missions/landsat-collection-2-level-2-science-products
- NAIP: https://naip-usdaonline.hub.arcgis.com (its cameras differ, and so do their wavelengths)
- PlanetScope: https://support.planet.com/hc/en-us/articles/35928274738333 and
  https://docs.planet.com/data/imagery/planetscope (surface reflectance times 10,000)
- WorldView-3: https://earth.esa.int/eogateway/missions/worldview-3. Its numbers become radiances by
  factors of each image, so that they have no unit here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral

from mmdynamicvis.band_names import spelling

PHYSICAL = ('reflectance', 'linear', 'dB')
"""Reflectance; radar backscatter as a ratio of powers, or in dB."""
UNITS = (*PHYSICAL, 'uint8', 'stored')
"""Units of an image: physical ones, numbers of 8 bits, and the numbers in a file."""


@dataclass(frozen=True)
class Band:
    """A band of a sensor."""

    name: str
    """As the agency writes it."""
    common_name: str | None = None
    """Name in STAC's eo extension; None for radar."""
    wavelength: float | None = None
    """At the center of the band, in nanometers."""
    aliases: tuple[str, ...] = ()

    @property
    def spellings(self) -> set[str]:
        """All names, as :func:`~mmdynamicvis.band_names.spelling` returns them."""
        return {spelling(name) for name in (self.name, self.common_name, *self.aliases) if name}

    def __str__(self) -> str:
        known = self.common_name
        return self.name if known in (None, self.name) else f'{self.name} ({known})'


@dataclass(frozen=True)
class Sensor:
    """A sensor and what its files store."""

    name: str
    bands: tuple[Band, ...]
    stacks: tuple[tuple[str, ...], ...]
    """Names of the bands in files without names of bands, which differ in their number."""
    unit: str | None = None
    """Unit of the values in a file, after ``scaling``; None if a file does not tell."""
    scaling: tuple[float, float] | None = None
    """(scale, offset): the value is scale * number + offset, of integers; None for floats."""
    baselines: tuple[float, float] | None = None
    """First processing baseline with this scaling, and the first with another one."""

    @property
    def units(self) -> tuple[str, ...]:
        """The units in which its bands can be read."""
        radar = ('linear', 'dB')
        own = radar if self.unit in radar else (self.unit,)
        return tuple(unit for unit in UNITS if unit in (*own, 'uint8', 'stored'))

    def band(self, name: str) -> Band:
        """Return the band of a name.

        Raises:
            ValueError: There is none; the message lists the bands.
        """
        for band in self.bands:
            if spelling(name) in band.spellings:
                return band
        raise ValueError(f'sensor {self.name!r} has no band {name!r}, but {self}')

    def __str__(self) -> str:
        return ', '.join(map(str, self.bands))


def _names(bands: Sequence[Band], without: str = '') -> tuple[str, ...]:
    return tuple(band.name for band in bands if band.name != without)


_MSI = (
    Band('B01', 'coastal', 443),
    Band('B02', 'blue', 490),
    Band('B03', 'green', 560),
    Band('B04', 'red', 665),
    Band('B05', 'rededge071', 705),
    Band('B06', 'rededge075', 740),
    Band('B07', 'rededge078', 783),
    Band('B08', 'nir', 842),
    Band('B8A', 'nir08', 865),
    Band('B09', 'nir09', 945),
    Band('B10', 'cirrus', 1375),
    Band('B11', 'swir16', 1610),
    Band('B12', 'swir22', 2190),
)
_OLI = (
    Band('SR_B1', 'coastal', 443, ('B1',)),
    Band('SR_B2', 'blue', 482, ('B2',)),
    Band('SR_B3', 'green', 561.5, ('B3',)),
    Band('SR_B4', 'red', 654.5, ('B4',)),
    Band('SR_B5', 'nir08', 865, ('B5',)),
    Band('SR_B6', 'swir16', 1608.5, ('B6',)),
    Band('SR_B7', 'swir22', 2200.5, ('B7',)),
)
_SUPERDOVE = (
    Band('coastal_blue', 'coastal', 441.5),
    Band('blue', 'blue', 490),
    Band('green_i', 'green05', 531),
    Band('green', 'green', 565, ('green_ii',)),
    Band('yellow', 'yellow', 610),
    Band('red', 'red', 665),
    Band('rededge', 'rededge', 705),
    Band('nir', 'nir', 865),
)
_WV110 = (
    Band('Coastal', 'coastal', 425),
    Band('Blue', 'blue', 480),
    Band('Green', 'green', 545),
    Band('Yellow', 'yellow', 605),
    Band('Red', 'red', 660),
    Band('Red Edge', 'rededge', 725),
    Band('NIR1', 'nir08', 832.5),
    Band('NIR2', 'nir09', 950),
)
_NAIP = (Band('Red', 'red'), Band('Green', 'green'), Band('Blue', 'blue'), Band('NIR', 'nir'))
_C_BAND = 299792458e9 / 5.405e9  # speed of light in nm/s by Hz
_SAR = tuple(Band(name, wavelength=_C_BAND) for name in ('VV', 'VH', 'HH', 'HV'))

_SENTINEL2 = Sensor(
    'sentinel2',
    _MSI,
    (_names(_MSI), _names(_MSI, without='B10')),  # level 1C, level 2A
    'reflectance',
    (1e-4, -0.1),
    (4.0, math.inf),
)
_SENTINEL1 = Sensor('sentinel1_linear', _SAR, (('VV', 'VH'),), 'linear')
_LANDSAT8 = Sensor('landsat8', _OLI, (_names(_OLI),), 'reflectance', (2.75e-5, -0.2))
_ALL = (
    _SENTINEL2,
    replace(_SENTINEL2, name='sentinel2_no_offset', scaling=(1e-4, 0.0), baselines=(0.0, 4.0)),
    _SENTINEL1,
    replace(_SENTINEL1, name='sentinel1_db', unit='dB'),
    _LANDSAT8,
    replace(_LANDSAT8, name='landsat9'),
    Sensor('naip', _NAIP, (_names(_NAIP),), 'uint8'),
    Sensor(
        'planetscope',
        _SUPERDOVE,
        (_names(_SUPERDOVE), ('blue', 'green', 'red', 'nir')),
        'reflectance',
        (1e-4, 0.0),
    ),
    Sensor('worldview3', _WV110, (_names(_WV110),)),
)
SENSORS = {sensor.name: sensor for sensor in _ALL}
"""Sensors by name. Sentinel-2 is that of baseline 04.00 and later (reprocessed archive included),
``sentinel2_no_offset`` older products and 'harmonized' ones; Sentinel-1 is calibrated backscatter;
Landsat is surface reflectance of collection 2, and PlanetScope surface reflectance."""


def find_sensor(name: str) -> Sensor:
    """Return a sensor.

    Raises:
        ValueError: There is none of that name; the message lists those that there are.
    """
    if name not in SENSORS:
        raise ValueError(f'sensor is {name!r}; there are {", ".join(map(repr, SENSORS))}')
    return SENSORS[name]


def check_reading(
    bands: Sequence[int | str] | None, sensor: str | None, unit: str | None
) -> Sensor | None:
    """Return the sensor of arguments that say how rasters are read.

    Raises:
        ValueError: A band is neither a number from 1 nor a name, the sensor is unknown or lacks a
            band, or the unit is unknown, not one of the sensor, or missing for bands that are
            named; the message lists what there is.
    """
    is_list = isinstance(bands, Sequence) and not isinstance(bands, str)
    if bands is not None and not (is_list and bands and all(map(_is_band, bands))):
        raise ValueError(f'bands is {bands!r}; give a list of numbers, counted from 1, or names')
    names = [band for band in bands or () if isinstance(band, str)]
    found = None if sensor is None else find_sensor(sensor)
    if found is not None:
        for name in names:
            found.band(name)
    units = UNITS if found is None else found.units
    if unit not in units and (unit is not None or names or found):
        of = f' of sensor {sensor!r}' if found else ''
        raise ValueError(
            f'unit is {unit!r}; say in which unit the image is to be, for bands{of} one of '
            f'{", ".join(map(repr, units))}'
        )
    return found


def _is_band(band: int | str) -> bool:
    if isinstance(band, str):
        return bool(band.strip())
    return isinstance(band, Integral) and not isinstance(band, bool) and band >= 1


def number_or_name(text: str) -> int | str:
    """Return a band as it is given on a command line, a number from 1 or a name."""
    return int(text) if text.isdigit() else text


def locate(
    bands: Sequence[int | str], labels: Sequence[str | None], sensor: Sensor | None = None
) -> list[int]:
    """Return the numbers, counted from 1, of a raster's bands.

    A name is that of the label that spells it, or another name of the same band of the sensor. If
    no label does, the band is found by its position: in rasters with as many bands as a stack of
    the sensor, or, without a sensor, 'red', 'green' and 'blue' are the first of three or four
    bands. No label may contradict the positions.

    Args:
        bands: Numbers, which are returned as they are, and names.
        labels: What the raster calls its bands; None for a band without a name.
        sensor: The sensor.

    Raises:
        ValueError: The raster has no band of a name, or several; the message lists the raster's
            bands and those of the sensor.
    """
    spelled = [label and spelling(label) for label in labels]
    stack = _stack(spelled, sensor)
    return [
        _locate(band, labels, spelled, stack, sensor) if isinstance(band, str) else band
        for band in bands
    ]


def _locate(
    name: str,
    labels: Sequence[str | None],
    spelled: Sequence[str | None],
    stack: Sequence[set[str]],
    sensor: Sensor | None,
) -> int:
    wanted = sensor.band(name).spellings if sensor else {spelling(name)}
    found = [i for i, label in enumerate(spelled, 1) if label in wanted]
    found = found or [i for i, names in enumerate(stack, 1) if names & wanted]
    if len(found) == 1:
        return found[0]
    called = ', '.join(f'{i}: {label or "no name"}' for i, label in enumerate(labels, 1))
    why = 'has several bands' if found else 'has no band'
    known = f'. Sensor {sensor.name!r} has {sensor}' if sensor else ''
    raise ValueError(
        f'{why} {name!r}; its bands are {called}{known}. Choose one of these, give numbers counted '
        'from 1, or name the bands of the file (the descriptions of rasterio or gdal_edit.py)'
    )


def _stack(spelled: Sequence[str | None], sensor: Sensor | None) -> list[set[str]]:
    """Return the spellings of each band by its position; none if positions do not tell."""
    stacks = [[{'red'}, {'green'}, {'blue'}], [{'red'}, {'green'}, {'blue'}, set()]]
    if sensor:
        stacks = [[sensor.band(name).spellings for name in stack] for stack in sensor.stacks]
    for stack in stacks:
        if len(stack) == len(spelled) and all(
            label is None or not names or label in names
            for label, names in zip(spelled, stack, strict=True)
        ):
            return stack
    return []
