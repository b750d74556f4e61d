"""What all tests share: sample data, a fresh global state, the order, what was skipped."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from small_disk import disk  # noqa: F401  (a fixture)

CHECKOUT = Path(__file__).resolve().parents[1]

# The same on every machine and in every subprocess, set before torch is imported: numbers and times
# then do not depend on how many cores there are.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Without a GPU, Triton kernels are interpreted; it looks when it is imported, and torch imports it.
if shutil.which('nvidia-smi') is None:
    os.environ.setdefault('TRITON_INTERPRET', '1')

# The same examples on every day.
settings.register_profile('steady', deadline=None, derandomize=True)
settings.load_profile('steady')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed every generator before the test and its fixtures, whatever ran before it."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    # limits are of float32, and on a GPU convolutions have the ten bits of TF32 by default
    torch.backends.cudnn.allow_tf32 = False


def _mmengine_as_before() -> Iterator[None]:
    """Restore the default scope, loggers, message hubs and visualizers of mmengine."""
    from mmengine.utils import ManagerMixin

    before = {manager: manager._instance_dict.copy() for manager in _managers(ManagerMixin)}
    yield
    for manager in _managers(ManagerMixin):
        manager._instance_dict.clear()
        manager._instance_dict.update(before.get(manager, {}))


_after_each_test = pytest.fixture(_mmengine_as_before, autouse=True)
# and what fixtures of a module have made
_after_each_module = pytest.fixture(_mmengine_as_before, autouse=True, scope='module')


def _managers(base: type) -> Iterator[type]:
    for manager in base.__subclasses__():
        yield manager
        yield from _managers(manager)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first: a simple mistake shows within seconds.

    Of the slow ones those with a group begin, the longest: a worker would be alone with them in the
    end.
    """
    for item in items:
        if item.get_closest_marker('exhaustive'):
            item.add_marker('slow')
    items.sort(
        key=lambda item: (
            item.get_closest_marker('slow') is not None,
            item.get_closest_marker('xdist_group') is None,
        )
    )


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
