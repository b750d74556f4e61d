"""Every Triton kernel, compiled for GPUs that need not be here."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec('triton') is None, reason='Triton is not installed')
@pytest.mark.parametrize(
    ('arguments', 'archs', 'at_least'),
    [
        pytest.param(('--narrow', '--arch', '90'), ['sm_90'], 40, marks=pytest.mark.slow),
        pytest.param(
            (),
            ['sm_80', 'sm_89', 'sm_90'],
            600,
            marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)],
        ),
    ],
    ids=['one-gpu', 'all'],
)
def test_variants_compile_into_registers(
    checkout: Path,
    capsys: pytest.CaptureFixture,
    arguments: tuple[str, ...],
    archs: list[str],
    at_least: int,
) -> None:
    # the tests run one process per core
    result = subprocess.run(
        [sys.executable, 'tools/dev/compile_kernels.py', '--workers', '1', *arguments],
        cwd=checkout,
        env={**os.environ, 'PYTHONPATH': str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    table = result.stdout.partition('\n\n')[2]
    with capsys.disabled():
        print(f'\n{table}')
    kernels = {line.split()[0] for line in table.splitlines() if '_kernel' in line}
    assert len(kernels) > 10
    for kernel in kernels:
        lines = [line for line in table.splitlines() if line.startswith(f'{kernel} ')]
        assert [line.split()[1] for line in lines] == archs
    count = re.search(r'^(\d+) variants compiled, 0 do not', table, re.MULTILINE)
    assert int(count[1]) >= at_least
