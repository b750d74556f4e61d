"""What all tests share: sample data, the order of tests, a summary of what was skipped."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

# The same on every machine and in every subprocess, set before torch is imported: numbers and times
# then do not depend on how many cores there are.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Without a GPU, Triton kernels are interpreted; it looks when it is imported, and torch imports it.
if shutil.which('nvidia-smi') is None:
    os.environ.setdefault('TRITON_INTERPRET', '1')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first: a simple mistake shows within seconds."""
    items.sort(key=lambda item: item.get_closest_marker('slow') is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List why tests were skipped, with the number of tests per reason."""
    reasons = Counter()
    for report in terminalreporter.stats.get('skipped', []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        reasons[str(reason).removeprefix('Skipped: ')] += 1
    if reasons:
        terminalreporter.section('skipped')
        for reason, count in reasons.most_common():
            terminalreporter.line(f'{count:4d}  {reason}')


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of the sample data; tests that use it carry the marker shared_data."""
    folder = Path(os.environ.get('MMDYNAMICVIS_SHARED') or CHECKOUT.parent / 'shared/data')
    if not folder.is_dir():
        pytest.skip(f'no sample data in {folder}: name its folder with MMDYNAMICVIS_SHARED')
    return folder


@pytest.fixture(scope='session')
def checkout() -> Path:
    """Root folder of the repository."""
    return CHECKOUT
