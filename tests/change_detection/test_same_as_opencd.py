"""Without open-cd and with it: the same maps, the same losses, the same names of parameters."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('compare_with_opencd.py')


@pytest.mark.opencd
@pytest.mark.slow
def test_equal_maps_and_losses() -> None:
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:
        pytest.skip('open-cd is not installed')
    # apart: importing open-cd registers its components in this process for good
    result = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == 'equal'
