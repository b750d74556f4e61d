"""Partitions: Parquet files of vectors of images, or GeoParquet files of those of windows.

A partition is complete, because it is written under another name and then renamed, and says in its
metadata which images or windows it is of. So the files alone tell what is done.

Sources:

- metadata of GeoParquet: https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise ImportError("partitions need pyarrow: pip install 'mmdynamicvis[search]'") from error

VECTORS = 'vectors'
"""Folder of the partitions in that of an archive."""
BOX = ('row', 'column', 'height', 'width')
"""Columns of windows, in pixels of their raster."""


class Member(NamedTuple):
    """Windows of a source that are in a partition; an image is one window."""

    source: str
    """Path or URL."""
    state: str
    """Size and time of modification of the file; empty for remote ones."""
    start: int
    """Number of the first window."""
    stop: int
    """Number behind the last window."""


class Header(NamedTuple):
    """What the metadata of a partition say."""

    settings: dict[str, Any]
    members: list[Member]
    rows: int
    """Number of vectors; windows without data have none."""
    has_places: bool


def partitions_of(folder: str | Path) -> list[Path]:
    """Return the partitions of an archive's folder, sorted by name."""
    return sorted(Path(folder, VECTORS).glob('[!.]*.parquet'))


def table_of(columns: Mapping[str, Any]) -> pa.Table:
    """Return rows as a table of Arrow, which has the columns of windows if there is ``geometry``.

    Args:
        columns: ``source`` (texts), ``date`` (dates or None), ``vector`` (N, C) float32, and of
            windows ``geometry`` (WKB in longitude and latitude), ``crs`` (texts, of the rasters),
            ``nodata`` (share of pixels without data) and those of :data:`BOX`.
    """
    vectors = columns['vector']
    vector_type = pa.list_(pa.float32(), vectors.shape[1])
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    text = pa.dictionary(pa.int32(), pa.string())
    types = dict(source=text, date=pa.date32(), crs=text, nodata=pa.float32())
    types |= dict(dict.fromkeys(BOX, pa.int32()), geometry=pa.binary())
    arrays = {
        name: pa.array(columns[name], kind) for name, kind in types.items() if name in columns
    }
    vector = pa.FixedSizeListArray.from_arrays(flat, type=vector_type)
    geometry = {'geometry': arrays.pop('geometry')} if 'geometry' in arrays else {}
    return pa.table({**arrays, 'vector': vector, **geometry})


def metadata_of(has_places: bool, **texts: Any) -> dict[str, str]:
    """Return the metadata of a file: values as JSON, and what makes it GeoParquet."""
    texts = {name: json.dumps(value) for name, value in texts.items()}
    if has_places:
        # without a reference system, coordinates are longitude and latitude (OGC:CRS84)
        about = dict(encoding='WKB', geometry_types=['Polygon', 'MultiPolygon'])
        geo = dict(version='1.1.0', primary_column='geometry', columns=dict(geometry=about))
        texts['geo'] = json.dumps(geo)
    return texts


def write_partition(
    path: Path, columns: Mapping[str, Any], members: Sequence[Member], settings: Mapping[str, Any]
) -> None:
    """Write a partition; see :func:`table_of` for the columns.

    Raises:
        OSError: It cannot be written, for example because the disk is full.
    """
    table = table_of(columns)
    metadata = metadata_of('geometry' in columns, settings=dict(settings), members=members)
    table = table.replace_schema_metadata(metadata)
    # vectors do not repeat
    parquet.write_table(table, path, use_dictionary=['source', 'crs'])


def read_header(path: Path) -> Header:
    """Read the metadata of a partition.

    Raises:
        ValueError: The file is damaged, or no partition.
    """
    try:
        found = parquet.read_metadata(path)
        texts = found.metadata or {}
        settings, members = (json.loads(texts[name]) for name in (b'settings', b'members'))
        members = [Member(*member) for member in members]
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is damaged or no partition ({type(error).__name__}: {error}): remove it, and '
            'run embed_archive again, which makes its rows'
        ) from error
    return Header(settings, members, found.num_rows, b'geo' in texts)


def read_rows(path: Path, batch: int = 2**14) -> Iterator[pa.Table]:
    """Yield the rows of a partition for an index: ``name``, ``vector``, ``date``, ``geometry``.

    Args:
        path: The partition.
        batch: Largest number of rows of a table.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        with parquet.ParquetFile(path) as file:
            places = 'geometry' in file.schema_arrow.names
            wanted = ['source', 'date', 'vector', *((*BOX, 'geometry') if places else ())]
            for rows in file.iter_batches(batch, columns=wanted):
                boxes = (
                    zip(*(rows[name].to_pylist() for name in BOX), strict=True) if places else ()
                )
                names = rows['source'].to_pylist()
                if places:
                    names = [name_of(s, *box) for s, box in zip(names, boxes, strict=True)]
                kept = {name: rows[name] for name in wanted if name not in ('source', *BOX)}
                yield pa.table(dict(name=pa.array(names, pa.string()), **kept))
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f'{path} is damaged ({error}): remove it, and run embed_archive again'
        ) from error


def name_of(source: str, row: int, column: int, height: int, width: int) -> str:
    """Return the name of a window in an index, ``scene.tif[0:64,128:192]``: rows, columns."""
    return f'{source}[{row}:{row + height},{column}:{column + width}]'
