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
        pytest.param(('--narrow', '--arch', '90'), ['sm_90'], 40, marks=pytest.mark.exhaustive),
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


@pytest.mark.exhaustive
@pytest.mark.skipif(importlib.util.find_spec('triton') is None, reason='Triton is not installed')
def test_inner_loops_are_short(checkout: Path) -> None:
    """Instructions and exponentials per token and warp are those that docs/performance.md gives."""
    command = [sys.executable, 'tools/dev/compile_kernels.py', '--arch', '90', '--loops']
    found = {}
    for kernel in ('chunk_state_fwd', 'selective_scan_fwd'):
        result = subprocess.run(
            [*command, '--workers', '1', '--only', f'{kernel}_kernel(*bf16'],
            cwd=checkout,
            env={**os.environ, 'PYTHONPATH': str(checkout)},
            capture_output=True,
            text=True,
            check=True,
        )
        *_, lines = re.split(r'^sm_90', result.stdout.partition('\n\n')[0], flags=re.MULTILINE)
        group = int(re.search(r'GROUP=(\d+)', lines)[1])
        loop = re.search(r'a loop of (\d+) instructions, (\d+) MUFU', lines)
        found[kernel] = [int(number) / group for number in loop.groups()]
    # other versions of Triton may need a few more
    assert found['chunk_state_fwd'][0] <= 1.1 * 126
    assert found['chunk_state_fwd'][1] == 15
    assert found['selective_scan_fwd'][0] <= 1.1 * 130
    assert found['selective_scan_fwd'][1] == 17


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('triton') is None, reason='Triton is not installed')
@pytest.mark.parametrize(
    ('size', 'limit'), [(512, 450), pytest.param(2048, 480, marks=pytest.mark.exhaustive)]
)
def test_a_forward_pass_launches_few_kernels(checkout: Path, size: int, limit: int) -> None:
    result = subprocess.run(
        [sys.executable, 'tools/dev/count_launches.py', '--repeats', '1', '--size', str(size)],
        cwd=checkout,
        env={**os.environ, 'PYTHONPATH': str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    launches, units = re.search(r'^(\d+) launches, (\d+) units', result.stdout, re.M).groups()
    assert int(units) == 26
    assert 26 * 15 < int(launches) <= limit, result.stdout
