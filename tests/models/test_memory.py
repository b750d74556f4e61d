"""Memory of the forward pass on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('in_little_memory.py')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('size', 'limit'), [(512, 600), pytest.param(2048, 3072, marks=pytest.mark.exhaustive)]
)
def test_base_stays_within_its_memory(size: int, limit: float) -> None:
    """The limit is the growth of the resident memory in MiB, weights and image not counted."""
    command = [sys.executable, SCRIPT, 'base', str(size)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    assert 1 < float(result.stdout) < limit
