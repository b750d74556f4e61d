"""The index of an archive's outputs: a GeoParquet file with a row per scene."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np

from mmdynamicvis.fileio import OutputNames
from mmdynamicvis.scenes.work_folder import WorkFolder

INDEX = 'index.parquet'
SCENES = 'scenes'
"""Folder of the outputs."""
COLUMNS: dict[str, Any] = dict(
    name='',
    source='',
    output='',
    status='pending',
    reason='',
    warnings='',
    seconds=np.nan,
    height=0,
    width=0,
    bands=0,
    windows=0,
    objects=-1,
    transform='',
    state='',
    geometry=None,
)
"""Column -> value of a scene of which nothing is known."""
SHARE = 0.05
"""Largest share of the time that goes into writing the index while scenes are processed."""


class ArchiveFolder(WorkFolder):
    """The folder of an archive's outputs, locked against other runs.

    If it has outputs, the settings of the run must be theirs; see ``WorkFolder``.
    """

    @property
    def scenes(self) -> Path:
        """Folder of the outputs, one per scene."""
        return self.path / SCENES

    def _results(self) -> Iterator[Path]:
        return (path for path in self.scenes.glob('[!.]*') if path.suffix != '.work')


class Index:
    """Rows of scenes, in the order in which the scenes were first seen.

    Args:
        folder: The folder that holds the index.
        columns: Column -> value of a scene of which nothing is known; among them are ``name``,
            ``source``, ``status``, ``reason`` and ``geometry``.
    """

    def __init__(self, folder: WorkFolder, columns: Mapping[str, Any] = COLUMNS) -> None:
        self._folder = folder
        self._columns = columns
        self.path = folder.path / INDEX
        self.rows: dict[str, dict[str, Any]] = {}
        self._names = OutputNames()
        self._next_update = 0.0
        if self.path.exists():
            for row in self._read().to_dict('records'):
                if row['name']:  # rows without output are found again
                    self.rows[row['source']] = row
                    self._name(row['source'])

    def add(self, sources: tuple[str, ...], reason: str) -> dict[str, Any]:
        """Return the row of a scene, which is new unless an earlier run has seen it.

        Args:
            sources: Its rasters.
            reason: Why it is no scene; empty if it is one.
        """
        source = '\t'.join(sources)
        if reason:
            row = dict(self._columns, source=source, status='failed', reason=reason)
            self.rows[f'{source}\n{len(self.rows)}'] = row
        elif source in self.rows:
            row = self.rows[source]
        else:
            row = dict(self._columns, name=self._name(source), source=source)
            self.rows[source] = row
        return row

    def update(self, last: bool = False) -> None:
        """Write the index, atomically, if that takes a small share of the time.

        If it cannot be written, for example because the disk is full, a warning says so, and the
        next update tries again.

        Args:
            last: Write it in any case.

        Raises:
            OSError: It cannot be written, and ``last`` is true.
        """
        begin = time.monotonic()
        if begin < self._next_update and not last:
            return
        frame = geopandas.GeoDataFrame(
            list(self.rows.values()),
            columns=list(self._columns),
            geometry='geometry',
            crs='EPSG:4326',
        )
        try:
            with self._folder.replacing(self.path) as temporary:
                frame.to_parquet(temporary, index=False)
        except OSError as error:
            if last:
                raise OSError(
                    f'cannot write {self.path}, the index of what is done and what failed: {error}'
                ) from error
            warnings.warn(f'cannot write {self.path} for now: {error}', stacklevel=2)
        now = time.monotonic()
        self._next_update = now + (now - begin) / SHARE

    def _read(self) -> geopandas.GeoDataFrame:
        try:
            return geopandas.read_parquet(self.path)
        except ValueError as error:  # base class of pyarrow's errors
            raise OSError(
                f'cannot read {self.path} ({error}), which names the output of each scene: remove '
                f'{self._folder.path}, and start again'
            ) from error

    def _name(self, source: str) -> str:
        # without the query of a URL
        return self._names(source.split('\t')[0].partition('?')[0])
