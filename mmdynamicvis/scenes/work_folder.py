"""Intermediate results on disk, from which an interrupted run continues."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmdynamicvis.fileio import PARTIAL, only_writer, replacing, shorten

JOURNAL = 'mmdynamicvis-run.json'
"""Name of the file of the settings, by which a folder of a run is recognized."""


class WorkFolder:
    """Folder of named results (dicts of arrays), each written atomically.

    Use it as a context manager, which creates the folder and locks it against other runs. Settings
    may change as long as there are no results.

    Args:
        path: The folder; created if it does not exist.
        settings: Settings that affect the results, of JSON types.
        shared: Let runs with the same settings that share the folder use it at the same time.
            Others are refused even if there are no results yet.

    Raises:
        BlockingIOError: Another run uses the folder.
        ValueError: The folder holds results of other settings (the message names the differences),
            or files that no run has written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], shared: bool = False) -> None:
        self.path = path
        self._shared = shared
        self._journal = path / JOURNAL
        # converted to what is read back from JSON: tuples become lists
        self._settings = json.loads(json.dumps(settings))
        self._lock = ExitStack()

    def __enter__(self) -> WorkFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as until_checked:
            until_checked.enter_context(only_writer(self.path, self._shared))
            self._begin()
            self._lock = until_checked.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def _begin(self) -> None:
        # in this order: one that shares the folder may be about to write the journal
        if [*self.path.glob('[!.]*')] and not self._journal.exists():
            raise ValueError(
                f'{self.path} is not the folder of a run, but would be removed: move it'
            )
        if self._shared:
            self._share_journal()
        else:
            for partial in self.path.glob(f'{PARTIAL}*'):  # of a run that was killed
                shutil.rmtree(partial)
        if self._shared or any(self._results()):
            self._compare(self._read_journal(), self._settings)
            return
        with self.replacing(self._journal) as temporary:
            temporary.write_text(self._text())

    def _share_journal(self) -> None:
        """Write the journal unless one is there: of several runs that begin, only one succeeds."""
        with TemporaryDirectory(prefix=PARTIAL, dir=self.path) as hidden:
            journal = Path(hidden, JOURNAL)
            journal.write_text(self._text())
            with suppress(FileExistsError):
                self._journal.hardlink_to(journal)

    def _text(self) -> str:
        return json.dumps(self._settings, indent=2) + '\n'

    def _read_journal(self) -> dict:
        try:
            return json.loads(self._journal.read_text())
        except ValueError as error:
            raise ValueError(
                f'{self._journal} is damaged, so the settings of the results next to it are '
                f'unknown: remove {self.path}, and start again'
            ) from error

    def _compare(self, before: dict, now: dict) -> None:
        before, now = _flat(before), _flat(now)
        different = [
            f'{key} was {before.get(key)} and is {now.get(key)}'
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        ]
        if different:
            raise ValueError(
                f'{self.path} holds the results of another run: {shorten(different, 8, "; ")}. '
                'Remove the folder, or go on with the settings of that run'
            )

    def replacing(self, path: Path) -> AbstractContextManager[Path]:
        """Write ``path`` atomically, through a temporary file in this folder."""
        return replacing(path, self.path)

    def has(self, name: str) -> bool:
        """Whether the result exists."""
        return self._file(name).exists()

    def save(self, name: str, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
        """Write a result."""
        write = np.savez_compressed if compressed else np.savez
        with self.replacing(self._file(name)) as temporary:
            write(temporary, **arrays)

    def load(self, name: str) -> dict[str, np.ndarray]:
        """Read a result.

        Raises:
            OSError: The file is damaged, for example by a power failure. It is then removed, so
                that the next run computes it again.
        """
        path = self._file(name)
        try:
            with np.load(path) as file:
                return dict(file)
        except (EOFError, ValueError, zipfile.BadZipFile) as error:
            path.unlink()
            raise OSError(
                f'{path} was damaged and has been removed: start the same command again, which '
                'predicts what was in it and goes on'
            ) from error

    def discard(self, name: str) -> None:
        """Remove a result if it exists."""
        self._file(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all results, and the folder too unless it has files of another origin."""
        for path in [*self._results(), self._journal]:
            path.unlink(missing_ok=True)
        left = sorted(path.name for path in self.path.iterdir())
        if left:
            warnings.warn(
                f'{self.path} stays: no run has written {shorten(left)}',
                stacklevel=2,
            )
        else:
            self.path.rmdir()

    def _results(self) -> Iterator[Path]:
        return self.path.glob('[!.]*.npz')

    def _file(self, name: str) -> Path:
        return self.path / f'{name}.npz'


def _flat(settings: dict) -> dict:
    """Return settings with inner dicts flattened to keys such as 'outer inner'."""
    flat = {}
    for key, value in settings.items():
        inner = value if isinstance(value, dict) else {'': value}
        flat.update({f'{key} {name}'.strip(): content for name, content in inner.items()})
    return flat


def remove_left(path: Path) -> None:
    """Remove the work folder of a finished output that was killed while it removed the folder."""
    journal = path / JOURNAL
    if journal.is_file() or (path.is_dir() and not any(path.iterdir())):
        settings = json.loads(journal.read_text()) if journal.is_file() else {}
        with WorkFolder(path, settings) as work:
            work.remove()
