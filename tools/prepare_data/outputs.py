"""How tools write: nothing is overwritten unasked, no half-written file has its final name."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdynamicvis.fileio import replacing


def refuse_existing(paths: Iterable[Path], force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        FileExistsError: Something is there, and force is not given.
    """
    existing = [str(path) for path in paths if path.exists()]
    if existing and not force:
        raise FileExistsError(f'{", ".join(existing)} exist; pass --force to overwrite them')


def write_text(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Give the name of a folder to create, which replaces ``path`` if all went well."""
    temporary = path.with_name(f'.{path.name}.tmp')
    shutil.rmtree(temporary, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    yield temporary
    if path.exists():
        shutil.rmtree(path)
    temporary.rename(path)
