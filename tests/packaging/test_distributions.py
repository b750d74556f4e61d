"""What a wheel and an sdist carry, and that building and installing leave everything else alone."""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import mmdynamicvis

pytestmark = pytest.mark.slow

BUILD_SDIST = 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])'


def run(*command: str | Path, cwd: Path | None = None) -> str:
    result = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, f'{command}:\n{result.stdout}\n{result.stderr}'
    return result.stdout


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')}


def pip_wheel(source: Path, target: Path) -> Path:
    pip = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    run(*pip, '--wheel-dir', target, source)
    return next(target.glob('mmdynamicvis-*.whl'))


@pytest.fixture(scope='module')
def source(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would track of this checkout."""
    listing = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    target = tmp_path_factory.mktemp('source') / 'checkout'
    for name in run(*listing, cwd=checkout).split('\0'):
        if name and (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    return target


@pytest.fixture(scope='module')
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_wheel(source, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp('sdist')
    run(sys.executable, '-c', BUILD_SDIST, target, cwd=source)
    return next(target.glob('mmdynamicvis-*.tar.gz'))


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A virtual environment that sees all packages of the one that runs the tests."""
    run(sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'layer')
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    packages = tmp_path / 'layer/lib' / version / 'site-packages'
    link = f'import site; site.addsitedir({sysconfig.get_path("purelib")!r})\n'
    (packages / '_base.pth').write_text(link)
    return tmp_path / 'layer'


def test_wheel_carries_package_and_copies_for_mim(source: Path, wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    expected = {'mmdynamicvis/.mim/model-index.yml'}
    for suffix in ('py', 'cpp', 'h', 'md', 'safetensors'):
        found = source.glob(f'mmdynamicvis/**/*.{suffix}')
        expected |= {str(path.relative_to(source)) for path in found}
    for folder in ('configs', 'tools'):
        files = [p.relative_to(source) for p in (source / folder).rglob('*') if p.is_file()]
        of_checkouts = {('tools', name) for name in ('benchmark', 'demo.py', 'dev', 'synthetic')}
        expected |= {f'mmdynamicvis/.mim/{p}' for p in files if p.parts[:2] not in of_checkouts}
    assert names == expected


def test_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter='data')
    again = pip_wheel(next(tmp_path.glob('mmdynamicvis-*')), tmp_path / 'out')
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_builds_leave_nothing_in_the_checkout(source: Path, tmp_path: Path) -> None:
    before = files_under(source)
    pip_wheel(source, tmp_path)
    run(sys.executable, '-c', BUILD_SDIST, tmp_path, cwd=source)
    assert files_under(source) == before


def test_metadata_require_no_version_and_no_openmmlab_package(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith('.dist-info/METADATA'))
    metadata = email.message_from_bytes(archive.read(name))
    always = {line for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line}
    assert always == {'torch', 'numpy'}
    extras = {'pretrain', 'mil', 'clip', 'det', 'seg', 'rotate', 'cd'}
    extras |= {'archive', 'geo', 'search', 'export', 'page', 'ssm', 'all', 'dev'}
    assert set(metadata.get_all('Provides-Extra')) == extras
    # the forks import torchvision, but do not require it
    for extra in ('pretrain', 'mil', 'det', 'seg', 'rotate', 'cd'):
        lines = {
            line
            for line in metadata.get_all('Requires-Dist')
            if f"'{extra}'" in line.replace('"', "'")
        }
        names = {re.match(r'[\w-]+', line).group() for line in lines}
        assert {'torchvision', 'onedl-mim', 'onedl-mmcv'} <= names


def test_the_citation_is_of_this_version(source: Path) -> None:
    citation = yaml.safe_load((source / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == mmdynamicvis.__version__


def test_editable_install_changes_no_installed_package(source: Path, layer: Path) -> None:
    python = layer / 'bin/python'
    list_all = [python, '-m', 'pip', 'list', '--format', 'json', '--exclude', 'mmdynamicvis']
    packages_before = {p['name']: p['version'] for p in json.loads(run(*list_all))}
    files_before = files_under(source)
    assert {'torch', 'onedl-mmengine', 'onedl-mmcv'} <= set(packages_before)

    run(python, '-m', 'pip', 'install', '--no-build-isolation', '--editable', source)

    assert {p['name']: p['version'] for p in json.loads(run(*list_all))} == packages_before
    assert files_under(source) == files_before
    where = 'import mmdynamicvis, sys; print(mmdynamicvis.__file__)'
    assert run(python, '-c', where, cwd=layer).strip() == str(source / 'mmdynamicvis/__init__.py')


@pytest.mark.exhaustive
def test_mim_finds_the_repository_of_an_editable_install(source: Path, layer: Path) -> None:
    python = layer / 'bin/python'
    run(python, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '-e', source)
    ask = 'from mim.utils import get_installed_path; print(get_installed_path("mmdynamicvis"))'
    for folder in (source, layer):
        assert run(python, '-c', ask, cwd=folder).strip() == str(source)
