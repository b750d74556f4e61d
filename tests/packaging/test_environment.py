"""The pinned packages, and what the builder of environments says when a machine lacks something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Required by metadata and used by none of our paths. opencv-python needs libGL, which a fresh
# machine lacks, and opencv-python-headless provides the same module; opendatalab downgrades a dozen
# packages; imagecorruptions-imaug is for corruptions that nothing here makes.
LEFT_OUT = {'opencv-python', 'opendatalab', 'colorama', 'imagecorruptions-imaug'}
PINS = ('environment.txt', 'classic.txt', 'minimum.txt')


@pytest.fixture
def build(checkout: Path, tmp_path: Path) -> Callable[..., str]:
    """Run the builder with a cache of its own until it fails; return what it said.

    A program there takes the place of uv: it makes no environment.
    """
    script = checkout / 'tools/dev/environment.sh'
    version = re.search(r'^uv_version=(.+)$', script.read_text(), re.MULTILINE)[1]
    uv = tmp_path / f'cache/mmdynamicvis/uv-{version}/bin/uv'

    def build(**variables: str) -> str:
        if uv.parents[3].is_dir():
            uv.parent.mkdir(parents=True)
            uv.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo uv {version}\n')
            uv.chmod(0o755)
        done = subprocess.run(
            [script, tmp_path / 'venv', 'requirements/environment.txt', 'light'],
            env={**os.environ, 'XDG_CACHE_HOME': str(tmp_path / 'cache'), **variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert not (tmp_path / 'venv/light').exists()
        return done.stderr

    (tmp_path / 'cache').mkdir()
    return build


def pinned(checkout: Path, file: str) -> list[str]:
    """Return the names of the packages in a list, each of which must be an exact pin."""
    names = []
    for line in (checkout / 'requirements' / file).read_text().splitlines():
        if not line.startswith('#'):
            pin = re.fullmatch(r'([a-z0-9-]+)==[\w.]+( ; python_version [<>]=? "3\.\d+")?', line)
            assert pin, f'{file}: {line!r} is no exact pin'
            names.append(pin.group(1))
    assert len(names) == len(set(names))
    return names


@pytest.mark.parametrize('file', PINS)
def test_every_pin_is_exact_and_given_once(checkout: Path, file: str) -> None:
    names = pinned(checkout, file)
    assert 'opencv-python-headless' in names
    assert 'opencv-python' not in names


def test_documentation_changes_no_package_of_the_environment(checkout: Path) -> None:
    names = pinned(checkout, 'docs.txt')
    assert {'sphinx', 'myst-nb'} <= set(names)
    assert set(names).isdisjoint(pinned(checkout, 'environment.txt'))


@pytest.mark.slow
def test_environment_lacks_only_what_is_left_out_on_purpose() -> None:
    check = [sys.executable, '-m', 'pip', 'check']
    lines = subprocess.run(check, capture_output=True, text=True).stdout.splitlines()
    missing = {re.search(r'requires (.+), which is not installed', line) for line in lines}
    if None in missing and lines != ['No broken requirements found.']:
        pytest.fail('\n'.join(lines))
    assert {found.group(1) for found in missing if found} <= LEFT_OUT


def test_missing_python_is_named(build: Callable) -> None:
    assert 'Python 3.10 to 3.13 is needed: apt-get install python3' in build(PYTHON='python9')


def test_missing_venv_is_named(build: Callable, tmp_path: Path) -> None:
    (tmp_path / 'cache').rmdir()  # so that uv has to be installed
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\nexit 1\n')
    python.chmod(0o755)
    assert 'apt-get install python3-venv' in build(PYTHON=str(python))


def test_cache_that_cannot_be_written_is_named(build: Callable, tmp_path: Path) -> None:
    (tmp_path / 'cache').rmdir()
    (tmp_path / 'cache').write_text('a file where the folder should be')
    said = build()
    assert str(tmp_path / 'cache') in said
    assert 'XDG_CACHE_HOME' in said
