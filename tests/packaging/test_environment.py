"""The pinned environment, and what its builder says when a machine lacks something."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

# Required by metadata and used by none of our paths. opencv-python needs libGL, which a fresh
# machine lacks, and opencv-python-headless provides the same module; opendatalab downgrades a dozen
# packages; imagecorruptions-imaug is for corruptions that nothing here makes.
LEFT_OUT = {'opencv-python', 'opendatalab', 'colorama', 'imagecorruptions-imaug'}


@pytest.fixture(scope='module')
def builder(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('builder', checkout / 'tools/dev/environment.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules['builder'] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def call(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run the builder with an environment root of its own."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, checkout / 'tools/dev/environment.py', *arguments],
            env={**os.environ, 'MMDYNAMICVIS_ENV_ROOT': str(tmp_path / 'root'), **variables},
            capture_output=True,
            text=True,
        )

    return call


def fake_python(folder: Path, version: str, body: str) -> Path:
    """Write a program that says it is a Python of some version; `body` handles other calls."""
    path = folder / 'python'
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *version_info*) printf "{path}\\n{version}\\n"; exit 0;; esac\n'
        f'{body}\n'
    )
    path.chmod(0o755)
    return path


def test_every_pin_is_exact_and_given_once(checkout: Path) -> None:
    names = []
    for file in ('environment.txt', 'mmcv.txt', 'hosts.txt'):
        for line in (checkout / 'requirements' / file).read_text().splitlines():
            if not line.startswith('#'):
                pin = re.fullmatch(r'([a-z0-9-]+)==[\w.]+( ; python_version < "3.11")?', line)
                assert pin, f'{file}: {line!r} is no exact pin'
                names.append(pin.group(1))
    assert len(names) == len(set(names))
    assert 'opencv-python-headless' in names
    assert 'opencv-python' not in names


@pytest.mark.slow
def test_environment_lacks_only_what_is_left_out_on_purpose() -> None:
    check = [sys.executable, '-m', 'pip', 'check']
    lines = subprocess.run(check, capture_output=True, text=True).stdout.splitlines()
    missing = {re.search(r'requires (.+), which is not installed', line) for line in lines}
    if None in missing and lines != ['No broken requirements found.']:
        pytest.fail('\n'.join(lines))
    assert {found.group(1) for found in missing if found} <= LEFT_OUT


def test_unsupported_python_is_named(call: Callable, tmp_path: Path) -> None:
    result = call('python', PYTHON=str(fake_python(tmp_path, '3.9', 'exit 1')))
    assert result.returncode == 1
    assert result.stdout == ''
    assert 'is Python 3.9' in result.stderr
    assert '3.10, 3.11, 3.12' in result.stderr
    assert 'PYTHON' in result.stderr


def test_missing_python_is_named(call: Callable) -> None:
    result = call('python', PYTHON='no-such-python')
    assert result.returncode == 1
    assert 'no-such-python' in result.stderr


def test_missing_venv_and_headers_are_named_before_any_download(
    call: Callable, tmp_path: Path
) -> None:
    result = call('ensure', PYTHON=str(fake_python(tmp_path, '3.12', 'exit 1')))
    assert result.returncode == 1
    assert 'apt-get install python3.12-venv python3.12-dev' in result.stderr
    assert 'create a virtual environment' not in result.stderr


def test_unwritable_root_is_named(call: Callable, tmp_path: Path) -> None:
    (tmp_path / 'root').write_text('a file where the folder should be')
    result = call('ensure')
    assert result.returncode == 1
    assert str(tmp_path / 'root') in result.stderr
    assert 'MMDYNAMICVIS_ENV_ROOT' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('output', 'remedy'),
    [
        ('OSError: [Errno 28] No space left on device', 'free disk space'),
        ('Temporary failure in name resolution', 'check the network'),
        ('fatal error: Python.h: No such file or directory', 'apt-get install python3.11-dev'),
        ("error: [Errno 2] No such file or directory: 'g++'", 'apt-get install g++'),
        ('something else', 'see the log'),
    ],
)
def test_failing_step_shows_its_output_and_a_remedy(
    builder: ModuleType, tmp_path: Path, output: str, remedy: str
) -> None:
    steps = builder.Steps(builder.Environment(sys.executable, '3.11', tmp_path, cuda_ops=False))
    with pytest.raises(builder.SetupError) as caught:
        steps.run('do it', [sys.executable, '-c', f'print({output!r}); raise SystemExit(3)'])
    text = str(caught.value)
    assert 'do it' in text
    assert 'exit status 3' in text
    assert f'| {output}' in text
    assert remedy in text.split('To mend it:')[1]
    assert output in steps.log.read_text()


def test_progress_counts_compiled_files(builder: ModuleType) -> None:
    output = builder.Output()
    output.add('  [12/86] c++ -MMD -c nms.cpp\n')
    output.add('  warning: unused variable\n')
    assert output.status() == '12 of 86 files compiled'


def test_environment_follows_pins_and_python_not_comments(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in builder.PINNED:
        (tmp_path / name).write_text('# a comment\na==1\n')
    monkeypatch.setattr(builder, 'REQUIREMENTS', tmp_path)
    home = builder.Environment('python', '3.11', tmp_path, cuda_ops=False).home
    assert builder.Environment('python', '3.12', tmp_path, cuda_ops=False).home != home
    (tmp_path / 'hosts.txt').write_text('# another comment\na==1\n')
    assert builder.Environment('other', '3.11', tmp_path, cuda_ops=False).home == home
    (tmp_path / 'hosts.txt').write_text('# another comment\na==2\n')
    assert builder.Environment('python', '3.11', tmp_path, cuda_ops=False).home != home


def test_tools_of_the_layer_run_its_own_interpreter(builder: ModuleType, tmp_path: Path) -> None:
    base, layer = tmp_path / 'base', tmp_path / 'layer'
    for folder in (base, layer):
        (folder / 'bin').mkdir(parents=True)
    (base / 'bin/mim').write_text(f'#!{base}/bin/python\nimport mim\n')
    (base / 'bin/ruff').write_bytes(b'\x7fELF')
    (base / 'bin/python').write_text('the base')
    (layer / 'bin/python').write_text('the layer')
    for tool in (base / 'bin').iterdir():
        builder.link_tool(tool, base, layer)
    assert (layer / 'bin/mim').read_text() == f'#!{layer}/bin/python\nimport mim\n'
    assert os.access(layer / 'bin/mim', os.X_OK)
    assert (layer / 'bin/ruff').resolve() == base / 'bin/ruff'
    assert (layer / 'bin/python').read_text() == 'the layer'
