"""Dates of rasters and images, from texts and from the tags of files.

Sources:

- acquisition times in GDAL's domain IMAGERY: https://gdal.org/en/stable/user/raster_data_model.html
- DateTime of TIFF and Exif, 'YYYY:MM:DD HH:MM:SS': TIFF 6.0, section 8; Exif 2.32, section 4.6.5
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import rasterio
from PIL import ExifTags, Image, UnidentifiedImageError

IMAGERY = ('IMAGERY', 'ACQUISITIONDATETIME')
"""GDAL's domain and tag of the time of acquisition."""


def parse_date(text: str) -> date:
    """Return the day, in UTC, of a date or time in the notation of ISO 8601, TIFF or Exif.

    Raises:
        ValueError: The text is none.
    """
    day, _, time = text.strip().partition(' ')
    if day.count(':') == 2 and len(day) == 10:  # of TIFF and Exif
        day = day.replace(':', '-')
    try:
        # Python 3.10 reads neither Z nor one digit of a second
        found = datetime.fromisoformat(f'{day} {time}'.strip().replace('Z', '+00:00'))
    except ValueError:
        try:
            return date.fromisoformat(day[:10])
        except ValueError as error:
            raise ValueError(f'{text!r} is no date: give YYYY-MM-DD') from error
    return (found.astimezone(timezone.utc) if found.tzinfo else found).date()


def date_of_raster(file: rasterio.DatasetReader) -> date | None:
    """Return the date in a raster's tags: of its acquisition, else that of TIFF; or None."""
    domain, name = IMAGERY
    return _first(file.tags(ns=domain).get(name), file.tags().get('TIFFTAG_DATETIME'))


def date_of_image(path: Path) -> date | None:
    """Return the date in the Exif tags of an image that Pillow reads, or None."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            taken = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            return _first(taken, exif.get(ExifTags.Base.DateTime))
    except UnidentifiedImageError:  # reading it has the error, and says which
        return None


def _first(*texts: str | None) -> date | None:
    for text in texts:
        try:
            if text:
                return parse_date(text)
        except ValueError:  # tags of unknown times hold blanks or zeros
            continue
    return None
