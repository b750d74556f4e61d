"""Runs a script as on a machine with torch, triton, numpy and timm, and what is carried there.

python alone.py CARRIED[,CARRIED...] SCRIPT [ARGUMENT...]
"""

from __future__ import annotations

import re
import runpy
import socket
import sys
from importlib import metadata
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

THERE = ('torch', 'triton', 'numpy', 'timm')


def plain(name: str) -> str:
    return name.lower().replace('_', '-')


def with_requirements(name: str, found: set[str]) -> None:
    """Add a distribution and all that it requires."""
    if plain(name) in found:
        return
    try:
        required = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    found.add(plain(name))
    for line in required:
        if 'extra ==' not in line:
            with_requirements(re.match(r'[\w.-]+', line).group(), found)


class Here(PathFinder):
    """Finds no installed package but those of the machine."""

    hidden: frozenset[str] = frozenset()

    @classmethod
    def find_spec(cls, name: str, path=None, target=None):
        if name.partition('.')[0] in cls.hidden:
            return None
        return super().find_spec(name, path, target)


def refuse(*args, **kwargs):
    raise OSError('this machine has no network')


if __name__ == '__main__':
    carried, script, *arguments = sys.argv[1:]
    there: set[str] = set()
    for name in THERE:
        with_requirements(name, there)
    packages = metadata.packages_distributions()
    Here.hidden = frozenset(
        package
        for package, names in packages.items()
        if not {plain(name) for name in names} & there
        and package not in (*carried.split(','), 'mmdynamicvis')
    )
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Here]
    socket.socket.connect = refuse
    sys.argv = [script, *arguments]
    sys.path[:1] = [str(Path(script).parent), str(Path(__file__).parents[2])]
    runpy.run_path(script, run_name='__main__')
