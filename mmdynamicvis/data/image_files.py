"""Search for image files, and properties of images that Pillow knows before decoding."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

_DEEP_MODES = ('F', 'I')
# raw modes such as 'RGB;16B', which Pillow truncates to 8 bits; 'BGR;16' has 16 bits per pixel
_DEEP_RAW = re.compile(r'(?<!BGR);16')
_CODESTREAM = b'\xff\x4f\xff\x51'  # of JPEG 2000: its start, and the marker of its sizes
_limit = threading.Lock()


def find_files(folder: str | Path, suffixes: Sequence[str]) -> list[Path]:
    """Return all files with the given suffixes below a folder, sorted; case is ignored.

    Links to folders are followed, but no file is listed twice: links to a folder that is searched
    anyway, or that contains the link, are skipped. Hidden files and folders, whose names start
    with ``.``, are skipped too, among them the ``._NAME.jpg`` that macOS writes on other file
    systems.

    Args:
        folder: The folder to search.
        suffixes: Suffixes in lower case, such as '.png'.

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: A folder in it cannot be listed, for example for lack of permission; the error
            names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder')
    found, starts, searched = [], [folder], set()
    while starts:  # links come last, so that a file is listed under its own path
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


def find_names(folder: str | Path, suffix: str) -> list[str]:
    """Return the files that :func:`find_files` finds, relative to the folder, by their ending.

    Args:
        folder: The folder to search.
        suffix: The ending of the relative paths, as '.png' or '/im1.png'; case counts.
    """
    names = (path.relative_to(folder).as_posix() for path in find_files(folder, ('',)))
    return [name for name in names if name.endswith(suffix)]


def paths_of(
    names: Sequence[str], folders: Mapping[str, str | None], suffixes: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return the files of each name: key -> the key's folder, the name and the key's suffix.

    Args:
        names: Paths relative to the folders, without suffixes.
        folders: Folder of each key; keys without one are left out.
        suffixes: Suffix of each key, as '.png' or '/im1.png'.
    """
    there = {key: suffix for key, suffix in suffixes.items() if folders.get(key) is not None}
    return [
        {key: f'{Path(folders[key], name)}{suffix}' for key, suffix in there.items()}
        for name in names
    ]


def _raise(error: OSError) -> None:
    raise error


def open_image(file: str | Path | BinaryIO) -> Image.Image:
    """Open an image of any size with Pillow, which by default refuses very large ones.

    Raises:
        OSError: See ``PIL.Image.open``.
    """
    # the limit is global to the process: other threads have none while a header is read
    with _limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened image, not yet loaded, has more than 8 bits per band.

    Pillow would clip its values at 255 or drop their lower bits.
    """
    if image.mode.partition(';')[0] in _DEEP_MODES:
        return True
    if image.format == 'JPEG2000':
        return _bits_of_jpeg2000(image.fp) > 8
    for _, _, _, arguments in getattr(image, 'tile', ()):
        # of portable pixmaps (raw mode, largest value)
        if image.format == 'PPM' and isinstance(arguments, tuple) and int(arguments[1]) > 255:
            return True
        if _DEEP_RAW.search(str(arguments)):
            return True
    return False


def _bits_of_jpeg2000(file: BinaryIO) -> int:
    """Return the bits per band, which Pillow does not tell of colored images."""
    place = file.tell()
    file.seek(0)
    _, _, sizes = file.read().partition(_CODESTREAM)
    file.seek(place)
    # two lengths of 2 bytes, eight of 4, the number of bands, and 3 bytes of each
    depths = sizes[38 : 38 + 3 * int.from_bytes(sizes[36:38], 'big') : 3]
    return max(((depth & 127) + 1 for depth in depths), default=0)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 means that rows and columns are stored as displayed."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def orientation_problem(image: Image.Image) -> str:
    """Return why pixel annotations may not match an image that is turned, or an empty string."""
    turn = orientation(image)
    if turn == 1:
        return ''
    return (
        f'has the EXIF orientation {turn}, and annotations in pixels, which are either of the '
        'pixels as they are stored or as they are shown. If as they are stored, give '
        "LoadIntactImage(color_type='color_ignore_orientation'); else turn the pixels and remove "
        'the orientation, as by ImageMagick: mogrify -auto-orient'
    )


def size_problem(size: tuple[int, int], annotated: tuple[int | None, int | None]) -> str:
    """Return why pixel annotations do not match an image of another size, or an empty string.

    Args:
        size: (width, height) of the image.
        annotated: (width, height) according to its annotations; None where they do not state it.
    """
    if None in annotated or tuple(annotated) == size:
        return ''
    return (
        f'is of {size[0]} x {size[1]} pixels, annotated as one of {annotated[0]} x '
        f'{annotated[1]}: boxes and masks would not match their objects. Get the image that was '
        'annotated, or correct width and height in the annotation file'
    )


def outside_problem(size: tuple[int, int], instances: Sequence[dict]) -> str:
    """Return a description of the first box that lies wholly outside an image, or an empty string.

    Boxes that an image cuts are common: tiles of DOTA keep the corners of objects that they share.

    Args:
        size: (width, height) of the image.
        instances: Objects as datasets of mmdet and mmrotate list them; their ``bbox`` are x and y
            of two or four corners, in pixels.
    """
    for instance in instances:
        box = list(instance.get('bbox', ()))
        if len(box) not in (4, 8):
            continue
        for place, length in zip((box[::2], box[1::2]), size, strict=True):
            if max(place) <= 0 or min(place) >= length:
                corners = ', '.join(f'{number:g}' for number in box)
                return (
                    f'is of {size[0]} x {size[1]} pixels, and a box of it lies outside '
                    f'({corners}): get the image that was annotated, or correct its annotations'
                )
    return ''


def annotation_problem(size: tuple[int, int], results: dict) -> str:
    """Return why the annotations in ``results`` do not match an image, or an empty string.

    Args:
        size: (width, height) of the image, as loaded.
        results: What a dataset of mmdet or mmrotate gives its pipeline: ``width`` and ``height``
            according to the annotations, and ``instances``.
    """
    annotated = results.get('width'), results.get('height')
    return size_problem(size, annotated) or outside_problem(size, results.get('instances') or ())
