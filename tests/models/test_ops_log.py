"""Which backends the ops run on: in a Runner's log, not in the output of a script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from mmdynamicvis.ops import dispatch


@pytest.fixture(autouse=True)
def nothing_explained(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, '_explained', set())
    level = logging.getLogger('mmdynamicvis.ops').level
    yield
    logging.getLogger('mmdynamicvis.ops').setLevel(level)


def test_the_log_of_a_run_names_every_op_once(build: Callable, tmp_path: Path) -> None:
    log = tmp_path / 'run.log'
    MMLogger.get_instance('a run of this test', log_file=str(log), log_level='INFO')
    model = build().eval()
    for _ in range(2):
        model(torch.zeros(1, 3, 64, 64))
    lines = log.read_text().splitlines()
    for op in ('selective_scan', 'causal_conv1d', 'token_select', 'token_update'):
        assert sum(f'{op} runs on the backend' in line for line in lines) == 1, lines


def test_a_script_without_a_run_stays_quiet(
    build: Callable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    default = MMLogger.get_instance('mmengine')
    monkeypatch.setattr(MMLogger, 'get_current_instance', classmethod(lambda cls: default))
    build().eval()(torch.zeros(1, 3, 64, 64))
    assert 'runs on the backend' not in capfd.readouterr().out
