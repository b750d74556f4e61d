"""Results of finished parts on disk, so that a run that was killed continues."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from mmdynamicvis.fileio import replacing


class WorkFolder:
    """Arrays by name, each there as a whole or not at all.

    Args:
        path: The folder; made if it does not exist.
        settings: What the results depend on, of JSON types.

    Raises:
        ValueError: The folder holds results of other settings, which the message names, or files
            that no run has written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        journal = path / 'settings.json'
        if not journal.exists() and [*path.glob('[!.]*')]:
            raise ValueError(f'{path} is no folder of a run, and would be removed: move it')
        for partial in path.glob('.*'):  # of a run that was killed
            shutil.rmtree(partial)
        # as it is read back: tuples become lists
        settings = json.loads(json.dumps(settings))
        if journal.exists():
            self._compare(json.loads(journal.read_text()), settings)
            return
        with self.replacing(journal) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + '\n')

    def _compare(self, before: dict, now: dict) -> None:
        different = [
            f'{key} was {before.get(key)} and is {now.get(key)}'
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        ]
        if different:
            raise ValueError(
                f'{self.path} holds the results of another run: {"; ".join(different)}. Remove the '
                'folder, or go on with the settings of that run'
            )

    def replacing(self, path: Path) -> AbstractContextManager[Path]:
        """Give a path to write to in this folder; it becomes ``path`` if all went well."""
        return replacing(path, self.path)

    def has(self, name: str) -> bool:
        """Whether there is such a result."""
        return self._file(name).exists()

    def save(self, name: str, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
        """Write a result."""
        write = np.savez_compressed if compressed else np.savez
        with self.replacing(self._file(name)) as temporary:
            write(temporary, **arrays)

    def load(self, name: str) -> dict[str, np.ndarray]:
        """Read a result."""
        with np.load(self._file(name)) as file:
            return dict(file)

    def discard(self, name: str) -> None:
        """Remove a result, if it is there."""
        self._file(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder and all results."""
        shutil.rmtree(self.path)

    def _file(self, name: str) -> Path:
        return self.path / f'{name}.npz'
