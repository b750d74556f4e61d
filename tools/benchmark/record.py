"""What every benchmark writes beside its figures: machine, versions, date, command."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
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
    'mamba-ssm': ('mamba-ssm',),
    'causal-conv1d': ('causal-conv1d',),
    'numba': ('numba',),
}
"""Packages that figures depend on, and the distributions that bring them."""


def machine(threads: int) -> dict[str, Any]:
    """Describe the processor and the versions that figures on a CPU depend on."""
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
    """Return the versions of those of :data:`PACKAGES` that are installed."""
    versions = {}
    for package, distributions in PACKAGES.items():
        for distribution in distributions:
            try:
                versions[package] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
    return versions


def gpu() -> dict[str, Any]:
    """Describe the GPU; its clock is the highest that it may run at, None if it does not tell."""
    properties = torch.cuda.get_device_properties(0)
    query = ['nvidia-smi', '--query-gpu=clocks.max.sm,driver_version', '--format=csv,noheader']
    clock, driver = subprocess.check_output(query, text=True).splitlines()[0].split(', ')
    return {
        'gpu': properties.name,
        'multiprocessors': properties.multi_processor_count,
        'clock (MHz)': float(clock.split()[0]) if clock[0].isdigit() else None,
        'memory (GB)': round(properties.total_memory / 2**30, 1),
        'driver': driver,
        'cuda': torch.version.cuda,
    }


def header(description: dict[str, Any]) -> dict[str, Any]:
    """Return how a result file begins."""
    return {
        'command': ' '.join(['python', *sys.argv]),
        'date': date.today().isoformat(),
        'machine': description,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')


class Record:
    """A result file of rows, complete after each of them: a run that is stopped loses nothing.

    Args:
        path: The file; None keeps the rows in memory alone.
        device: 'cpu' or 'cuda'.
    """

    def __init__(self, path: Path | None, device: str) -> None:
        self.path = path
        self.machine = machine(torch.get_num_threads()) | packages()
        if device == 'cuda':
            self.machine |= gpu()
        self.notes: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.save()

    def add(self, **row: Any) -> dict[str, Any]:
        """Add a row and save; return it."""
        self.rows.append(row)
        self.save()
        return row

    def note(self, name: str, value: Any) -> None:
        """Set what holds for all rows and save."""
        self.notes[name] = value
        self.save()

    def save(self) -> None:
        """Write the file, if there is one."""
        if self.path is not None:
            content = header(self.machine) | {'notes': self.notes, 'rows': self.rows}
            write_json(self.path, content)
