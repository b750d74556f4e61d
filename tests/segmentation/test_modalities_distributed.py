"""Two real processes with other sensors each, without find_unused_parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('modalities_in_processes.py')


@pytest.mark.exhaustive
def test_a_process_without_sensors() -> None:
    """Gradients are the mean of those of both batches, also of what only one of them has."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    result = subprocess.run(
        [*command, str(SCRIPT)], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert 'processes agree: 2' in result.stdout
