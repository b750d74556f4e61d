"""An index of the vectors of an archive, which is read and written part by part."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor

from mmdynamicvis.embedding.partitions import (
    Header,
    metadata_of,
    partitions_of,
    read_header,
    read_rows,
)
from mmdynamicvis.fileio import replacing

PARTITIONS = 'partitions'
"""Name in the settings of an index of the partitions that are in it."""
Part = tuple[list[str], Tensor]
"""Names and vectors (N, C) of a part of an index."""


class Partitions(NamedTuple):
    """Partitions of an archive."""

    paths: list[Path]
    settings: dict[str, Any]
    rows: int
    """Number of vectors."""
    has_places: bool


def find_partitions(folder: Path, without: Collection[str] = ()) -> Partitions:
    """Return the partitions in the folder of ``embed_archive``.

    Args:
        folder: The folder.
        without: Names of partitions that are left out.

    Raises:
        ValueError: There is none, one is damaged, or they have different settings.
    """
    headers = {path: read_header(path) for path in partitions_of(folder)}
    if not headers:
        raise ValueError(f'{folder} has no partitions: run embed_archive.py')
    first = next(iter(headers.values()))
    for path, header in headers.items():
        if _kind(header) != _kind(first):
            raise ValueError(
                f'{path} is of other settings than the partitions beside it: keep those of one '
                'run of embed_archive in a folder'
            )
    new = {path: header for path, header in headers.items() if path.name not in without}
    rows = sum(header.rows for header in new.values())
    return Partitions(list(new), first.settings, rows, first.has_places)


def _kind(header: Header) -> tuple[dict[str, Any], bool]:
    return header.settings, header.has_places


def write_index(path: Path, tables: Iterator[pa.Table], settings: dict[str, Any]) -> int:
    """Write an index part by part, atomically; return its number of vectors.

    Args:
        path: .parquet file.
        tables: The columns ``name``, ``vector``, ``date``, and of windows ``geometry``.
        settings: Of the index.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
        ValueError: There is no vector, or one is not finite.
    """
    count = 0
    with replacing(path) as temporary:
        first = next(tables, None)
        if first is None:
            raise ValueError('the partitions have no vectors: no index is made')
        has_places = 'geometry' in first.schema.names
        schema = first.schema.with_metadata(metadata_of(has_places, settings=settings))
        with parquet.ParquetWriter(temporary, schema, use_dictionary=False) as file:
            for table in chain([first], tables):
                if not vectors_of(table).isfinite().all():
                    raise ValueError('vectors of the partitions are NaN or infinite')
                file.write_table(table.replace_schema_metadata(schema.metadata))
                count += len(table)
    return count


def rows_of(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Yield the rows of partitions, for :func:`write_index`."""
    for path in paths:
        yield from read_rows(path)


def kept_rows(path: Path, gone: Collection[str]) -> Iterator[pa.Table]:
    """Yield the rows of an index whose names are not among ``gone``."""
    with parquet.ParquetFile(path) as file:
        for rows in file.iter_batches(2**14):
            table = pa.Table.from_batches([rows])
            if gone:
                kept = [name not in gone for name in table['name'].to_pylist()]
                table = table.filter(pa.array(kept, pa.bool_()))
            yield table


def read_parts(path: Path) -> Iterator[Part]:
    """Yield names and vectors of an index."""
    with parquet.ParquetFile(path) as file:
        for rows in file.iter_batches(2**14, columns=['name', 'vector']):
            yield rows['name'].to_pylist(), vectors_of(rows)


def names_of(path: Path) -> list[str]:
    """Return the names of an index."""
    return parquet.read_table(path, columns=['name'])['name'].to_pylist()


def settings_in(path: Path) -> dict[str, Any]:
    """Return the settings of a .parquet index; empty if it is not that of an archive."""
    if path.suffix != '.parquet':
        return {}
    try:
        metadata = parquet.read_schema(path).metadata or {}
        settings = json.loads(metadata.get(b'settings', b'{}'))
    except (pa.ArrowInvalid, ValueError):  # whoever reads the whole file has the error
        return {}
    return settings if PARTITIONS in settings else {}


def vectors_of(rows: pa.Table | pa.RecordBatch) -> Tensor:
    """Return the vectors of rows, (N, C) float32."""
    column = rows['vector']
    length = column.type.list_size
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(np.array(flat.reshape(-1, length)))
