"""Files that are there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
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
