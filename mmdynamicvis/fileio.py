"""Writing files: never over what is not ours, never by halves; digests, and lists in messages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

PARTIAL = '.mmdynamicvis-'
"""How the names of folders begin in which files are until they are complete."""


def refuse_to_overwrite(
    outputs: Iterable[str | Path],
    inputs: Iterable[str | Path | None] = (),
    force: bool | None = None,
) -> None:
    """Raise an error if a command would write over what it has not written.

    The rule of all commands: an output is none of the inputs, whatever the user says, and nothing
    that exists, unless the user says so.

    Args:
        outputs: Files to be written.
        inputs: Files that are read, None for one that is not given. Links to an output, and other
            spellings of its path, count.
        force: Whether the user agrees to overwrite what exists (``--force``); None where the
            command has no such option.

    Raises:
        ValueError: An output is an input; the message names both.
        FileExistsError: An output exists, and ``force`` is not true.
    """
    # os.stat follows links, and tells files apart however their paths are spelled
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
    """Return what a file has in common with its other names; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # names that are no paths on a disk, as of GDAL's archives
        return None
    return status.st_dev, status.st_ino


def own_folder(name: str, folder: str) -> str:
    """Return a folder's name if it stays below the folder of a run, where nobody else has files.

    Args:
        name: Of the argument, for the message.
        folder: What a config says.

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
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of a folder; released however the process ends.

    Raises:
        BlockingIOError: Another process is in it.
    """
    import fcntl  # not on Windows, where all but this runs

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the other one may just have finished, and have removed the folder
        if _identity(folder) != (os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino):
            raise BlockingIOError
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            f'another process is writing into {folder}: wait until it has ended'
        ) from error
    finally:
        os.close(descriptor)


class OutputNames:
    """A name for what is written of each file, where all outputs go into one folder.

    That of the file without its suffix; where another file has it, the names of the folders above
    are put before it, one by one, and a number in the end if that is not enough. Names differ by
    more than upper and lower case, which some disks do not tell apart.
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def __call__(self, path: str | Path) -> str:
        """Return the name for a file, the same whenever it is asked for."""
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
        with TemporaryDirectory(prefix=PARTIAL, dir=folder or path.parent) as hidden:
            temporary = Path(hidden, path.name)
            yield temporary
            temporary.replace(path)
    except OSError as error:
        # what writes to an open file does not know its name, others name the one that goes away
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def expand_home(path: str | Path) -> str:
    """Return a path, or an address, with the home folder in place of a leading ``~/``."""
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
    """Return the first items as text for a message, and how many more there are."""
    rest = f' and {len(items) - shown} more' if len(items) > shown else ''
    return separator.join(map(str, items[:shown])) + rest
