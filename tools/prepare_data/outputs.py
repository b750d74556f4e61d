"""Safe output of tools: writes are atomic, and only files written by the tools are replaced.

Every folder written by a tool has a list of its files, ``.written_files.json``. ``--force``
replaces the listed files if they have not been changed since, and keeps all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdynamicvis.fileio import replacing, shorten

MANIFEST = '.written_files.json'


def refuse_existing(paths: Iterable[Path], force: bool, sources: Sequence[Path] = ()) -> None:
    """Refuse to overwrite existing paths unless forced, and sources in any case.

    Raises:
        FileExistsError: A path exists, and ``force`` is false.
        ValueError: An existing path is one of the sources or inside one.
    """
    existing = [path for path in paths if path.exists() or path.is_symlink()]
    if existing and not force:
        names = ', '.join(map(str, existing))
        raise FileExistsError(f'{names} exist; pass --force to overwrite them')
    _refuse_sources(existing, sources)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def written_earlier(folder: Path, force: bool, sources: Sequence[Path] = ()) -> list[str]:
    """Return the files in a folder that were written by an earlier run and may be replaced.

    Args:
        folder: Folder to write.
        force: Whether files of an earlier run may be replaced.
        sources: Files and folders that are read.

    Raises:
        FileExistsError: The folder exists and ``force`` is false, it has files but no list of those
            that an earlier run wrote, or some of these have been changed since.
        ValueError: The folder is inside one of the sources, or a source is among these files.
    """
    _refuse_sources([folder.resolve()], sources)
    refuse_existing([folder], force)
    if not folder.exists():
        return []
    try:
        text = (folder / MANIFEST).read_text(encoding='utf-8')
    except FileNotFoundError:
        if any(folder.iterdir()):
            raise FileExistsError(
                f'{folder} holds files, and no {MANIFEST} of an earlier run names them as its own. '
                'Give another folder, or remove the files yourself'
            ) from None
        return []
    written = json.loads(text)['files']
    there = {name: state for name, state in written.items() if (folder / name).is_file()}
    changed = [name for name, state in there.items() if _state(folder / name) != state]
    if changed:
        raise FileExistsError(
            f'{folder} has files that were changed since they were written: {shorten(changed)}. '
            'Give another folder, or remove these files yourself'
        )
    _refuse_sources([folder / name for name in there], sources)
    return list(there)


@contextmanager
def fresh_folder(path: Path, force: bool, sources: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the path of a temporary folder to create; on success its files are moved to ``path``.

    Args:
        path: The folder; see :func:`written_earlier` for what may be in it.
        force: Whether files of an earlier run may be replaced.
        sources: Files and folders that are read.

    Raises:
        FileExistsError: See :func:`written_earlier`; also if a file to write has the name of an
            existing file that was not written by an earlier run.
        ValueError: See :func:`written_earlier`.
    """
    earlier = written_earlier(path, force, sources)
    path = path.resolve()  # keep a link, for example to another disk
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix='.', dir=path.parent) as hidden:
        fresh = Path(hidden, path.name)
        yield fresh
        files = sorted(file for file in fresh.rglob('*') if file.is_file())
        names = {file.relative_to(fresh).as_posix(): _state(file) for file in files}
        foreign = [name for name in names if (path / name).exists() and name not in earlier]
        if foreign:
            raise FileExistsError(
                f'{path} has files of its own with the names of files to write: '
                f'{shorten(foreign)}. Give another folder, or remove these files yourself'
            )
        manifest = json.dumps(dict(files=names), indent=0)
        if not path.exists():
            write_text(fresh / MANIFEST, manifest)
            fresh.rename(path)
            return
        _remove(path, earlier)
        write_text(path / MANIFEST, manifest)
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).replace(path / name)


def _refuse_sources(paths: Iterable[Path], sources: Sequence[Path]) -> None:
    read = {place: source for source in sources for place in (source.resolve(), _place(source))}
    for path in paths:
        place = _place(path)
        for folder in (place, *place.parents):
            if folder in read:
                raise ValueError(
                    f'{path} is a source or lies in one, {read[folder]}: give another place to '
                    'write to'
                )


def _place(path: Path) -> Path:
    """Return the absolute path, with the last component not resolved: a link itself is replaced."""
    return path.parent.resolve() / path.name


def _state(path: Path) -> list[int]:
    """Return size and modification time of a file."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove files, and then folders that are empty."""
    for name in names:
        (folder / name).unlink()
    parents = {parent for name in names for parent in Path(name).parents}
    for parent in sorted(parents - {Path()}, reverse=True):
        if not any((folder / parent).iterdir()):
            (folder / parent).rmdir()
