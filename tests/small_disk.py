"""A small disk that becomes really full: a file system in memory, seen by its processes alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOLD = 'mount -t tmpfs -o size=1m none "$0" && echo mounted && cat'


@dataclass
class Disk:
    """A file system in the mount namespace of a process.

    Args:
        holder: The process.
        folder: Where the file system is for processes in the namespace.
    """

    holder: int
    folder: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess:
        """Run a command in the namespace."""
        enter = ['nsenter', f'--target={self.holder}', '--user', '--mount']
        command = [*enter, '--preserve-credentials', *command]
        return subprocess.run(command, capture_output=True, text=True)

    def resize(self, size: str) -> None:
        done = self.run('mount', '-o', f'remount,size={size}', self.folder)
        assert done.returncode == 0, done.stderr

    @property
    def files(self) -> Path:
        """The folder as processes outside see it."""
        return Path(f'/proc/{self.holder}/root{self.folder}')


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if shutil.which('unshare') is None:
        pytest.skip('no unshare, which mounts a small disk')
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['unshare', '--mount', '--map-root-user', 'sh', '-c', HOLD, folder]
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as holder:
        if holder.stdout.readline() != 'mounted\n':
            pytest.skip(f'no small disk can be mounted: {holder.stderr.read().strip()}')
        yield Disk(holder.pid, folder)
