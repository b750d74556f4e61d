"""Atomic writes of files, their digests, and lists that are cut short in messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Give a path to write to, of the same name; it becomes ``path`` if all went well.

    Args:
        path: The file.
        folder: Existing folder of the same disk where the file is until then; by default that of
            ``path``.

    Raises:
        OSError: The file cannot be written, since the disk is full for example; the message names
            ``path``, which is as it was before.
    """
    temporary = None
    try:
        with TemporaryDirectory(prefix='.', dir=folder or path.parent) as hidden:
            temporary = Path(hidden, path.name)
            yield temporary
            temporary.replace(path)
    except OSError as error:
        # what writes to an open file does not know its name, others name the one that goes away
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    sha256 = hashlib.sha256()
    with Path(path).open('rb') as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def shorten(items: Sequence[object], shown: int = 8, separator: str = ', ') -> str:
    """Return the first items as text for a message, and how many more there are."""
    rest = f' and {len(items) - shown} more' if len(items) > shown else ''
    return separator.join(map(str, items[:shown])) + rest
