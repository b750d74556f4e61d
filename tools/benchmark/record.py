"""Result files of benchmarks, which also record machine, versions, date and command."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import mmengine
import torch

import mmdynamicvis
from mmdynamicvis.fileio import replacing

PACKAGES = {
    'triton': ('triton', 'pytorch-triton'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
    'timm': ('timm',),
    'mamba-ssm': ('mamba-ssm',),
    'causal-conv1d': ('causal-conv1d',),
    'numba': ('numba',),
}
"""Packages that results depend on -> distributions that provide them."""
UNFINISHED = 'not finished: its process ended here'
LOST = 75
"""Exit status of a process whose GPU context is unusable; a new process can continue."""


def machine(threads: int) -> dict[str, Any]:
    """Return the processor and the versions that results on a CPU depend on."""
    names = {
        line.split(':')[1].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    }
    return {
        'cpu': ', '.join(sorted(names)),
        'cores': os.cpu_count(),
        'threads': threads,
        'system': platform.platform(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'mmengine': mmengine.__version__,
        'mmdynamicvis': mmdynamicvis.__version__,
    }


def packages() -> dict[str, str]:
    """Return the versions of the installed :data:`PACKAGES`."""
    versions = {}
    for package, distributions in PACKAGES.items():
        for distribution in distributions:
            try:
                versions[package] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
    return versions


def gpu() -> dict[str, Any]:
    """Return a description of the GPU; its clock is the maximum, or None if unknown."""
    properties = torch.cuda.get_device_properties(0)
    query = ['nvidia-smi', '--query-gpu=clocks.max.sm,driver_version', '--format=csv,noheader']
    try:
        clock, driver = subprocess.check_output(query, text=True).splitlines()[0].split(', ')
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        clock, driver = '', None  # measurements do not need them
    return {
        'gpu': properties.name,
        'multiprocessors': properties.multi_processor_count,
        'clock (MHz)': float(clock.split()[0]) if clock[:1].isdigit() else None,
        'memory (GB)': round(properties.total_memory / 2**30, 1),
        'driver': driver,
        'cuda': torch.version.cuda,
    }


def gpu_is_lost() -> bool:
    """Return whether a kernel error has made the GPU context of this process unusable."""
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def reason_of(error: Exception) -> str:
    """Return an error as one line of text."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return 'out of memory'
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}'


def header(description: dict[str, Any]) -> dict[str, Any]:
    """Return the first entries of a result file."""
    return {
        'command': ' '.join(['python', *sys.argv]),
        'date': date.today().isoformat(),
        'machine': description,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result file atomically; an earlier result file is replaced.

    Raises:
        FileExistsError: ``path`` is a file of another kind.
    """
    if path.exists() and not _is_result(path):
        raise FileExistsError(f'{path} is no result file: remove it, or give another --out')
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')


def _is_result(path: Path) -> bool:
    """Return whether a file begins as :func:`header` does."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and {'command', 'date', 'machine'} <= content.keys()


class Record:
    """A result file with rows that is saved after each row, so a stopped run loses nothing.

    Args:
        path: The file; None keeps the rows only in memory.
        device: 'cpu' or 'cuda'.
        append: Keep the rows in the file and append to them.
    """

    def __init__(self, path: Path | None, device: str, append: bool = False) -> None:
        self.path = path
        self.commands: list[str] = []
        self.machine = machine(torch.get_num_threads()) | packages()
        if device == 'cuda':
            self.machine |= gpu()
        self.notes: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        if append and path is not None and path.exists():
            content = json.loads(path.read_text())
            self.commands = content['command'].split(' && ')
            self.notes, self.rows = content['notes'], content['rows']
        command = shlex.join(['python', *sys.argv])
        if command not in self.commands:
            self.commands.append(command)
        self.save()

    def add(self, **row: Any) -> dict[str, Any]:
        """Add a row and save; return it."""
        self.rows.append(row)
        self.save()
        return row

    def has(self, **about: Any) -> bool:
        """Return whether there is a row with these values; None matches a missing key."""
        return any(all(row.get(key) == value for key, value in about.items()) for row in self.rows)

    def begin(self, **about: Any) -> dict[str, Any]:
        """Add a row that is marked as not finished until it has a measurement."""
        return self.add(**about, skipped=UNFINISHED)

    def drop(self, row: dict[str, Any]) -> None:
        """Remove a row that is not needed."""
        self.rows = [other for other in self.rows if other is not row]
        self.save()

    @contextmanager
    def guard(self, *rows: dict[str, Any]) -> Iterator[None]:
        """Context for measuring rows that were begun; an error is recorded in these rows.

        Raises:
            SystemExit: The GPU context is unusable; the exit status is :data:`LOST`.
        """
        failed = False
        try:
            yield
        except Exception as error:
            failed = True
            for row in rows:
                row['skipped'] = reason_of(error)
                print(f'  {_title(row)}: {row["skipped"]}', flush=True)
        for row in rows:
            if 'seconds' in row and row.get('skipped') == UNFINISHED:
                del row['skipped']
        self.save()
        if failed and gpu_is_lost():
            print('  the GPU is lost to this process', flush=True)
            raise SystemExit(LOST)

    def note(self, name: str, value: Any) -> None:
        """Set a value that applies to all rows, and save."""
        self.notes[name] = value
        self.save()

    def save(self) -> None:
        """Write the file, if there is one."""
        if self.path is not None:
            content = header(self.machine) | {'command': ' && '.join(self.commands)}
            write_json(self.path, content | {'notes': self.notes, 'rows': self.rows})


def _title(row: dict[str, Any]) -> str:
    names = ('model', 'op', 'stage', 'backend', 'size', 'dtype', 'mode', 'task', 'pass')
    return ', '.join(str(row[name]) for name in names if row.get(name) is not None)
