"""Image files in folders, and what Pillow says of one before it is decoded."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

_DEEP_MODES = ('F', 'I')
# as in 'RGB;16B', which Pillow cuts to 8 bits; a pixel of 'BGR;16' has 16 bits in all
_DEEP_RAW = re.compile(r'(?<!BGR);16')
_CODESTREAM = b'\xff\x4f\xff\x51'  # of JPEG 2000: its start, and the marker of its sizes
_limit = threading.Lock()


def find_files(folder: str | Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files in a folder and the folders in it that end so, in any case, sorted.

    Links to folders are followed, but no file is found twice: a link to a folder that is searched
    anyhow, or that holds the link, is left out. So is what is hidden: ``.`` is the first character
    of its name, as of the ``._NAME.jpg`` that macOS puts beside files on foreign disks.

    Args:
        folder: The folder.
        suffixes: Endings of names in lower case, as '.png'.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: A folder in it cannot be listed, for want of permission say; the error names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder')
    found, starts, searched = [], [folder], set()
    while starts:  # links last: a file is found at its own place
        for at, folders, names in os.walk(starts.pop(0), onerror=_raise):
            place = os.path.realpath(at)
            if place in searched:
                folders.clear()
                continue
            searched.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith('.'))
            links = [Path(at, name) for name in folders if Path(at, name).is_symlink()]
            starts += [link for link in links if not Path(place).is_relative_to(link.resolve())]
            found += [
                Path(at, name)
                for name in names
                if not name.startswith('.') and name.lower().endswith(tuple(suffixes))
            ]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def open_image(file: str | Path | BinaryIO) -> Image.Image:
    """Open an image of any size by Pillow, which takes large ones for an attack.

    Raises:
        OSError: As ``PIL.Image.open``.
    """
    # the limit is one for the whole process; other threads miss it while a header is read
    with _limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def is_deep(image: Image.Image) -> bool:
    """Return whether an image that was opened, and not yet loaded, has more than 8 bits per band.

    Pillow would cut its values off at 255, or drop their lower bits.
    """
    if image.mode.partition(';')[0] in _DEEP_MODES:
        return True
    if image.format == 'JPEG2000':
        return _bits_of_jpeg2000(image.fp) > 8
    return any(_DEEP_RAW.search(str(tile[3])) for tile in getattr(image, 'tile', ()))


def _bits_of_jpeg2000(file: BinaryIO) -> int:
    """Return the bits per band, which Pillow does not tell of colored images."""
    place = file.tell()
    file.seek(0)
    _, _, sizes = file.read().partition(_CODESTREAM)
    file.seek(place)
    # two lengths of 2 bytes, eight of 4, the number of bands, and 3 bytes of each
    depths = sizes[38 : 38 + 3 * int.from_bytes(sizes[36:38]) : 3]
    return max(((depth & 127) + 1 for depth in depths), default=0)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation: 1 if rows and columns are stored as they are shown."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def annotation_problem(
    image: Image.Image, size: tuple[int, int] | None = None, turns: bool = True
) -> str:
    """Return why annotations in pixels may lie beside the objects of an image, or nothing.

    Args:
        image: An image that was opened.
        size: Width and height that the annotations give, if they do.
        turns: Whether the image is turned upright when it is loaded.
    """
    if turns and orientation(image) != 1:
        return (
            f'has the EXIF orientation {orientation(image)}, and annotations in pixels, which are '
            'either of the pixels as they are stored or as they are shown. If as they are stored, '
            "give LoadIntactImage(color_type='color_ignore_orientation'); else turn the pixels and "
            'remove the orientation, as by ImageMagick: mogrify -auto-orient'
        )
    if size is not None and tuple(size) != image.size:
        return (
            f'is of {image.width} x {image.height} pixels, annotated as one of {size[0]} x '
            f'{size[1]}: boxes and masks would lie beside their objects. Get the image that was '
            'annotated, or mend width and height in the annotation file'
        )
    return ''
