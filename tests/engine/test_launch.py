"""What the launchers do where mmcv lacks its compiled ops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from running import run_tool

from mmdynamicvis.engine import launch


@pytest.fixture(autouse=True)
def mmcv_without_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, 'find_spec', lambda name: None)


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout whose environment `make demo` has built."""
    (tmp_path / 'light').touch()
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    monkeypatch.setattr(launch, '_CHECKOUT', tmp_path)
    return tmp_path


def test_classification_needs_none() -> None:
    launch.require_compiled_ops('mmpretrain')


def test_ops_are_compiled_in_the_environment_of_the_checkout(
    own_environment: Path, capfd: pytest.CaptureFixture
) -> None:
    (own_environment / 'Makefile').write_text('ops:\n\ttouch compiled\n')
    launch.require_compiled_ops('mmdet')
    assert (own_environment / 'compiled').exists()
    assert '10 to 15 minutes' in capfd.readouterr().out


def test_compilation_that_fails_is_an_error(own_environment: Path) -> None:
    (own_environment / 'Makefile').write_text('ops:\n\tfalse\n')
    with pytest.raises(RuntimeError, match='`make ops` could not compile'):
        launch.require_compiled_ops('mmseg')


def test_environments_of_users_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(RuntimeError, match='MMCV_WITH_OPS=1'):
        launch.require_compiled_ops('mmrotate')


def test_a_training_is_not_resumed_from_weights_alone(checkout: Path, tmp_path: Path) -> None:
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'w.pth')
    config = checkout / 'configs/classification/dynamicvis_tiny_1xb32-10e_aid150-128px.py'
    options = '--work-dir', tmp_path / 'work', '--resume', tmp_path / 'w.pth'
    done = run_tool(checkout / 'tools/train.py', config, *options)
    assert done.returncode == 1
    assert 'w.pth cannot be resumed from: it holds weights alone' in done.stderr
    assert not (tmp_path / 'work').exists()
