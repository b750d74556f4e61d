"""Every Triton kernel, compiled for GPUs that need not be here."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ARCHS = ('sm_80', 'sm_89', 'sm_90')


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(importlib.util.find_spec('triton') is None, reason='Triton is not installed')
def test_every_variant_compiles_into_registers(
    checkout: Path, capsys: pytest.CaptureFixture
) -> None:
    result = subprocess.run(
        [sys.executable, 'tools/dev/compile_kernels.py'],
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
        assert [line.split()[1] for line in lines] == list(ARCHS)
    assert re.search(r'^\d{3,} variants compiled, 0 do not', table, re.MULTILINE)
