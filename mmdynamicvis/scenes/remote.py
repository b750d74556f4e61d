"""Rasters behind http(s) and in S3, which GDAL's own drivers read.

Sources:

- drivers and their options: https://gdal.org/en/stable/user/virtual_file_systems.html
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import rasterio
from rasterio.errors import RasterioError

Result = TypeVar('Result')

SCHEMES = {'http://': '/vsicurl/http://', 'https://': '/vsicurl/https://', 's3://': '/vsis3/'}
"""Beginning of a URL -> what GDAL's drivers call it."""
OPTIONS = {
    # no listings of folders, and no requests for files next to the raster
    'GDAL_DISABLE_READDIR_ON_OPEN': 'EMPTY_DIR',
    # of codes such as 429 and 503; the delay grows from one retry to the next
    'GDAL_HTTP_MAX_RETRY': '5',
    'GDAL_HTTP_RETRY_DELAY': '1',
    'GDAL_HTTP_CONNECTTIMEOUT': '20',
    'GDAL_HTTP_LOW_SPEED_TIME': '30',
    'GDAL_HTTP_LOW_SPEED_LIMIT': '1',
    # bytes of downloaded ranges that all threads share, so that a range is downloaded once
    'CPL_VSIL_CURL_CACHE_SIZE': str(128 * 2**20),
}
"""GDAL's options for remote rasters; those of the environment take precedence."""
DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before further attempts to read a window, after a connection that broke off."""


def gdal_name(path: str) -> str:
    """Return GDAL's name of a path or URL."""
    for scheme, driver in SCHEMES.items():
        if path.startswith(scheme):
            return driver + path[len(scheme) :]
    return path


def is_remote(path: str) -> bool:
    """Whether GDAL reads a path or URL over the network."""
    return gdal_name(path).startswith(('/vsicurl', '/vsis3', '/vsigs', '/vsiaz'))


def gdal_options() -> dict[str, str]:
    """Return options for ``rasterio.Env``, without those that the environment sets."""
    return {name: value for name, value in OPTIONS.items() if name not in os.environ}


def open_raster(path: str) -> rasterio.DatasetReader:
    """Open a raster on disk or behind a URL.

    Raises:
        OSError: It is missing or no raster, or the server does not answer.
    """
    try:
        # on disk, masks and metadata next to a raster belong to it
        with rasterio.Env(**(gdal_options() if is_remote(path) else {})):
            return rasterio.open(gdal_name(path))
    except RasterioError as error:
        advice = 'Give a GeoTIFF or another file that GDAL reads'
        if is_remote(path):
            advice = (
                'Does the server answer, and does the address need a login? Retries and timeouts '
                "are GDAL's, GDAL_HTTP_MAX_RETRY and GDAL_HTTP_CONNECTTIMEOUT in the environment"
            )
        raise OSError(f'cannot open {path} as a raster ({error}). {advice}') from error


def again(read: Callable[[], Result], path: str) -> Result:
    """Return what a function returns that reads a remote raster, after several attempts if needed.

    GDAL itself repeats requests that a server refuses for now, and connections that are not made;
    this repeats reads whose connection broke off in the middle.

    Args:
        read: The function.
        path: Path or URL of the raster; local ones are read once.

    Raises:
        RasterioError: The last attempt failed.
    """
    if not is_remote(path):
        return read()
    for delay in (*DELAYS, None):
        try:
            return read()
        except ValueError:  # of what was read
            raise
        # after an error, rasterio may raise exceptions whose classes it does not export
        except Exception as error:
            if delay is None:
                raise RasterioError(str(error)) from error
            time.sleep(delay)
    raise AssertionError('the last attempt returns or raises')
