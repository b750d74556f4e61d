"""Atomic file writes, protection of existing files, file digests, and short lists in messages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

PARTIAL = '.mmdynamicvis-'
"""Prefix of the temporary folders that hold files until they are complete."""


def refuse_to_overwrite(
    outputs: Iterable[str | Path],
    inputs: Iterable[str | Path | None] = (),
    force: bool | None = None,
) -> None:
    """Raise an error if a command would overwrite one of its inputs or an existing file.

    All commands follow the same rule: an output must never be one of the inputs, and it may
    replace an existing file only if the user asks for that.

    Args:
        outputs: Files to be written.
        inputs: Files that are read; None entries (inputs that were not given) are skipped. Links
            to an output and other spellings of its path are recognized.
        force: Whether the user agreed to overwrite existing files (``--force``); None if the
            command has no such option.

    Raises:
        ValueError: An output is an input; the message names both.
        FileExistsError: An output exists and ``force`` is not true.
    """
    # os.stat follows links and identifies a file however its path is spelled
    read = {file: path for path in inputs if path and (file := _identity(path))}
    for path in outputs:
        file = _identity(path)
        if file in read:
            raise ValueError(
                f'{path} would be written over {read[file]}, which is read: give another output'
            )
        if not force and os.path.lexists(path):
            way_out = (
                'remove it, or give another output'
                if force is None
                else 'pass --force to overwrite it'
            )
            raise FileExistsError(f'{path} exists; {way_out}')


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return (device, inode), which all names of a file share; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # names that are not paths on disk, such as GDAL's /vsizip/...
        return None
    return status.st_dev, status.st_ino


def own_folder(name: str, folder: str) -> str:
    """Return a folder given in a config if it stays inside the run's own folder.

    Args:
        name: Name of the config's argument, for the message.
        folder: Value of the argument.

    Raises:
        ValueError: The path is absolute or leads upward.
    """
    path = Path(folder)
    if path.is_absolute() or '..' in path.parts:
        raise ValueError(
            f'{name} is {folder!r}, and pictures there could overwrite other files: give a name, '
            "which is looked for in the run's folder"
        )
    return folder


@contextmanager
def only_writer(path: Path, shared: bool = False) -> Iterator[None]:
    """Lock a folder or file against other processes that call this, until the process ends.

    A file may be replaced meanwhile, by whoever holds the lock.

    Args:
        path: The folder or file.
        shared: Let in the processes that share it as well.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    import fcntl  # not available on Windows, where everything else runs

    descriptor = os.open(path, os.O_RDONLY)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        # the other process may just have finished, and removed the folder or replaced the file
        if _identity(path) != (os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino):
            raise BlockingIOError
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            f'another process is writing into {path}: wait until it has ended'
        ) from error
    finally:
        os.close(descriptor)


class OutputNames:
    """Unique output names for input files whose outputs all go into one folder.

    The name is the file's stem. If another file already has it, the names of parent folders are
    prepended one by one, and a number is appended if that is not enough. Names that differ only
    in upper and lower case count as equal, because some file systems do not distinguish them.
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def __call__(self, path: str | Path) -> str:
        """Return the output name of a file; repeated calls return the same name."""
        return next(
            name
            for name in _names(Path(path))
            if self._files.setdefault(name.casefold(), str(path)) == str(path)
        )


def _names(path: Path) -> Iterator[str]:
    name = path.stem
    yield name
    for parent in path.parents:
        if parent.name:
            name = f'{parent.name}_{name}'
            yield name
    for number in count(2):
        yield f'{name}_{number}'


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path of the same name, then move it to ``path``.

    If an exception is raised, ``path`` is left unchanged.

    Args:
        path: The file to write.
        folder: Existing folder on the same disk that holds the temporary file; by default the
            folder of ``path``.

    Raises:
        OSError: The file cannot be written, for example because the disk is full; the message
            names ``path``.
    """
    temporary = None
    try:
        with TemporaryDirectory(prefix=PARTIAL, dir=folder or path.parent) as hidden:
            temporary = Path(hidden, path.name)
            yield temporary
            temporary.replace(path)
    except OSError as error:
        # an error from writing to an open file has no name, others name the temporary file
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def expand_home(path: str | Path) -> str:
    """Return a path or a URL, with a leading ``~/`` replaced by the home folder."""
    text = str(path)
    return f'{Path.home()}{text[1:]}' if text == '~' or text.startswith('~/') else text


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    sha256 = hashlib.sha256()
    with Path(path).open('rb') as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def shorten(items: Sequence[object], shown: int = 8, separator: str = ', ') -> str:
    """Return the first items as text for a message, followed by the number of further items."""
    rest = f' and {len(items) - shown} more' if len(items) > shown else ''
    return separator.join(map(str, items[:shown])) + rest
