"""The table of sensors, and bands found by their names."""

from __future__ import annotations

import re

import pytest

from mmdynamicvis.band_names import spelling
from mmdynamicvis.data.sensors import SENSORS, check_reading, find_sensor, locate, number_or_name

S2 = SENSORS['sentinel2']
L2A = [name for name in S2.stacks[0] if name != 'B10']


@pytest.mark.parametrize('sensor', SENSORS.values(), ids=SENSORS)
def test_the_table_is_unambiguous(sensor):
    every = [name for band in sensor.bands for name in band.spellings]
    assert len(set(every)) == len(every)
    assert len({len(stack) for stack in sensor.stacks}) == len(sensor.stacks)
    for stack in sensor.stacks:
        assert [sensor.band(name).name for name in stack] == list(stack)
    waves = [band.wavelength for band in sensor.bands if band.wavelength]
    assert waves == sorted(waves)
    assert SENSORS[sensor.name] is sensor


@pytest.mark.parametrize(
    ('sensor', 'number', 'value'),
    [
        ('sentinel2', 1000, 0.0),
        ('sentinel2', 3000, 0.2),
        ('sentinel2_no_offset', 2000, 0.2),
        ('landsat8', 7273, 0.0),
        ('landsat9', 43636, 1.0),
        ('planetscope', 2500, 0.25),
    ],
)
def test_reflectance_of_stored_numbers(sensor, number, value):
    scale, offset = SENSORS[sensor].scaling
    assert scale * number + offset == pytest.approx(value, abs=2e-5)


@pytest.mark.parametrize(
    ('names', 'same'),
    [
        (('B8', 'B08', 'b08', 'B8, central wavelength 842 nm'), True),
        (('Red Edge', 'red_edge', 'red-edge', 'rededge (705 nm)'), True),
        (('R', 'red', 'RED'), True),
        (('B8', 'B8A'), False),
        (('B1', 'B10'), False),
        (('nir', 'nir08'), False),
    ],
)
def test_spellings(names, same):
    assert (len({spelling(name) for name in names}) == 1) is same


@pytest.mark.parametrize(
    ('bands', 'labels', 'sensor', 'expected'),
    [
        # as the raster calls them
        (['red', 'nir'], ['NIR', 'G', 'R'], None, [3, 1]),
        (['red', 'B08', 'B8A'], ['B8A', 'B4', 'B8'], 'sentinel2', [2, 3, 1]),
        (['B04', 'nir'], ['nir', 'red'], 'sentinel2', [2, 1]),
        (['B4', 'SR_B5'], ['SR_B4', 'SR_B5', 'QA_PIXEL'], 'landsat8', [1, 2]),
        (['VV'], ['vh', 'vv'], None, [2]),
        # by position
        (['red', 'B8A', 'swir22'], [None] * 13, 'sentinel2', [4, 9, 13]),
        (['red', 'B8A', 'swir22'], [None] * 12, 'sentinel2_no_offset', [4, 9, 12]),
        (['B09', 'red'], ['B01', *[None] * 11], 'sentinel2', [10, 4]),
        (['VH', 'VV'], [None] * 2, 'sentinel1_db', [2, 1]),
        (['nir', 'red'], [None] * 4, 'naip', [4, 1]),
        (['nir', 'red'], [None] * 4, 'planetscope', [4, 3]),
        (['nir', 'red', 'green05'], [None] * 8, 'planetscope', [8, 6, 3]),
        (['blue', 'red'], [None] * 3, None, [3, 1]),
        (['blue', 'nir'], [None, None, None, 'nir'], None, [3, 4]),
        # numbers stay as they are
        ([5, 'red', 1], [None] * 3, None, [5, 1, 1]),
    ],
)
def test_bands_are_found(bands, labels, sensor, expected):
    sensor = None if sensor is None else find_sensor(sensor)
    assert locate(bands, labels, sensor) == expected


@pytest.mark.parametrize(
    ('name', 'labels', 'sensor', 'message'),
    [
        (
            'nir',
            ['red', 'green', None],
            None,
            "no band 'nir'; its bands are 1: red, 2: green, 3: no",
        ),
        ('nir', [None] * 4, None, "no band 'nir'"),
        ('red', [None] * 13, None, "no band 'red'"),
        ('blue', ['nir', 'red', 'green'], None, "no band 'blue'"),
        (
            'red',
            [None] * 10,
            'sentinel2',
            r"no band 'red'; .*Sensor 'sentinel2' has B01 \(coastal\)",
        ),
        ('red', ['B02', *[None] * 11], 'sentinel2', "no band 'red'; its bands are 1: B02"),
        ('B10', L2A, 'sentinel2', "no band 'B10'; its bands are 1: B01, 2: B02"),
        (
            'nir',
            ['nir', 'B08'],
            'sentinel2',
            "has several bands 'nir'; its bands are 1: nir, 2: B08",
        ),
        ('VV', [None] * 4, 'sentinel1_linear', "no band 'VV'"),
    ],
)
def test_bands_that_a_raster_does_not_have(name, labels, sensor, message):
    with pytest.raises(ValueError, match=message):
        locate([name], labels, sensor and find_sensor(sensor))


@pytest.mark.parametrize(
    ('bands', 'sensor', 'unit', 'message'),
    [
        (
            ['red'],
            None,
            None,
            r"unit is None; .* 'reflectance', 'linear', 'dB', 'uint8', 'stored'$",
        ),
        ([1], 'sentinel2', None, r"of sensor 'sentinel2' one of 'reflectance', 'uint8', 'stored'$"),
        (['VV'], 'sentinel1_db', None, "one of 'linear', 'dB', 'uint8', 'stored'$"),
        (
            ['red'],
            'naip',
            'reflectance',
            "unit is 'reflectance'; .*'naip' one of 'uint8', 'stored'$",
        ),
        (['red'], 'worldview3', 'dB', "'worldview3' one of 'uint8', 'stored'$"),
        ([1], None, 'percent', "unit is 'percent'"),
        (['pan'], 'sentinel2', 'reflectance', r"has no band 'pan', but B01 \(coastal\), B02"),
        (['VV'], 'sentinel1', 'dB', r"'sentinel1'; there are .*'sentinel1_linear', 'sentinel1_db'"),
        ([0], None, None, 'bands is'),
        ([' '], None, 'stored', 'bands is'),
    ],
)
def test_readings_that_are_not_declared(bands, sensor, unit, message):
    with pytest.raises(ValueError, match=message):
        check_reading(bands, sensor, unit)


def test_bands_of_a_command_line():
    assert [number_or_name(text) for text in ('3', 'B03', 'red')] == [3, 'B03', 'red']
    assert re.fullmatch('[a-z0-9_]+', ''.join(SENSORS))
