"""The scenes of an archive, from a folder, a text list, an index of footprints or a STAC file."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import geopandas
import pystac

LISTS = ('.txt', '.csv')
INDEXES = ('.gpkg', '.parquet', '.geoparquet')
STAC = ('.json', '.geojson')
RASTERS = ('.tif', '.tiff', '.vrt', '.jp2')
"""Suffixes of the rasters that are taken from a folder."""
PATH_FIELDS = ('path', 'location', 'source')
"""Columns of an index that hold paths by default; gdaltindex writes ``location``."""


class Entry(NamedTuple):
    """A scene of an archive.

    Args:
        sources: Paths or URLs of its rasters, one per date.
        reason: Why it is no scene; empty if it is one.
        date: Date or time that the item of STAC has, or the start of its period; else empty.
    """

    sources: tuple[str, ...]
    reason: str = ''
    date: str = ''


def list_scenes(
    archive: str | Path, fields: Sequence[str] = (), suffixes: Collection[str] = RASTERS
) -> list[Entry]:
    """List the scenes of an archive, each once.

    Args:
        archive: One of

            - a folder, whose rasters (.tif, .tiff, .vrt, .jp2) are listed in all its folders;
            - a text file (.txt, .csv) with the path or URL of a raster per line, or those of
              several dates separated by tabs; empty lines and lines that begin with # are skipped;
            - an index (.gpkg, .parquet) of footprints and paths, as gdaltindex writes it;
            - an item collection of STAC (.json, .geojson).

            Relative paths start at the folder of the file.
        fields: Columns of the index, or assets of the items, with the rasters, one per date. By
            default the column ``path``, ``location`` or ``source``, and the item's only asset with
            the role ``data``, or else its only asset.
        suffixes: Suffixes of the files that are taken from a folder, in lower case.

    Returns:
        The scenes in the order of the archive, with absolute paths; rasters of a folder are sorted.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: The archive is of no known kind, has no scenes, or lacks the fields.
    """
    archive = Path(archive).absolute()  # workers have other working directories
    if archive.is_dir():
        paths = sorted(path for path in archive.rglob('*') if path.suffix.lower() in suffixes)
        entries = [Entry((str(path),)) for path in paths]
    elif not archive.is_file():
        raise FileNotFoundError(f'there is no folder and no file {archive}')
    elif archive.suffix.lower() in LISTS:
        lines = [line.strip() for line in archive.read_text(encoding='utf-8').splitlines()]
        texts = [line.split('\t') for line in lines if line and not line.startswith('#')]
        entries = [Entry(tuple(_from(archive, text.strip()) for text in row)) for row in texts]
    elif archive.suffix.lower() in INDEXES:
        entries = _of_index(archive, fields)
    elif archive.suffix.lower() in STAC:
        entries = _of_stac(archive, fields)
    else:
        suffixes = ' *'.join(LISTS + INDEXES + STAC)
        raise ValueError(f'{archive} is no archive: give a folder, or a file *{suffixes}')
    if not entries:
        raise ValueError(f'{archive} has no scenes')
    return _once(entries)


def _from(file: Path, path: str) -> str:
    """Return a path relative to the folder of the file that names it; URLs are unchanged."""
    if '://' in path or path.startswith('/'):
        return path
    return str(file.parent / path)


def _of_index(archive: Path, fields: Sequence[str]) -> list[Entry]:
    read = geopandas.read_file if archive.suffix.lower() == '.gpkg' else geopandas.read_parquet
    try:
        frame = read(archive)
    except (RuntimeError, ValueError) as error:  # pyogrio's and pyarrow's errors
        raise OSError(f'cannot read the index {archive}: {error}') from error
    columns = list(fields) or [name for name in PATH_FIELDS if name in frame.columns][:1]
    if not columns or not set(columns) <= set(frame.columns):
        raise ValueError(
            f'{archive} has the columns {", ".join(frame.columns)}: name those of the paths '
            f'(fields=...), by default one of {", ".join(PATH_FIELDS)}'
        )
    entries = []
    for number, row in enumerate(frame[columns].itertuples(index=False), 1):
        paths = [path for path in row if isinstance(path, str) and path]
        if len(paths) < len(columns):
            entries.append(Entry((f'row {number}',), f'it has no path in {", ".join(columns)}'))
        else:
            entries.append(Entry(tuple(_from(archive, path) for path in paths)))
    return entries


def _of_stac(archive: Path, fields: Sequence[str]) -> list[Entry]:
    try:
        content = json.loads(archive.read_text(encoding='utf-8'))
        items = pystac.ItemCollection.from_dict(content)
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{archive} is no item collection of STAC, a FeatureCollection of items: {error}'
        ) from error
    return [_of_item(item, archive, fields) for item in items]


def _of_item(item: pystac.Item, archive: Path, fields: Sequence[str]) -> Entry:
    names = list(fields)
    if not names:
        names = [name for name, asset in item.assets.items() if asset.has_role('data')]
        names = names or list(item.assets)
        if len(names) != 1:
            return Entry(
                (item.id,), f'it has the assets {", ".join(names) or "none"}: name one (fields=...)'
            )
    missing = [name for name in names if name not in item.assets]
    if missing:
        found = ', '.join(item.assets) or 'none'
        return Entry((item.id,), f'it has no asset {", ".join(missing)}, its assets are {found}')
    sources = tuple(_from(archive, item.assets[name].href) for name in names)
    time = item.datetime or item.common_metadata.start_datetime
    return Entry(sources, date=time.isoformat() if time else '')


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Give entries a reason whose rasters are listed before."""
    found, seen = [], set()
    for entry in entries:
        key = tuple(path if '://' in path else str(Path(path).resolve()) for path in entry.sources)
        if key in seen and not entry.reason:
            entry = entry._replace(reason='it is listed twice: it is processed once')
        seen.add(key)
        found.append(entry)
    return found
