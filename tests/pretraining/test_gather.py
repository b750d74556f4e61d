"""Rows of several real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdynamicvis.pretraining.gather import gather_rows

FOLDER = Path(__file__).parent


def test_alone_it_returns_its_arguments():
    regions, labels = torch.randn(3, 4), torch.tensor([0, 1, 0])
    gathered = gather_rows(regions, labels)
    assert gathered[0] is regions
    assert gathered[1] is labels


@pytest.mark.exhaustive
@pytest.mark.parametrize('n_processes', [2, 3])
@pytest.mark.parametrize('script', ['in_processes.py', 'modalities_in_processes.py'])
def test_processes_with_uneven_counts_train_as_one(script, n_processes):
    """Equal losses and gradients; one process has no regions, each lacks a modality."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    result = subprocess.run(
        [*command, f'--nproc-per-node={n_processes}', str(FOLDER / script)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert f'processes agree: {n_processes}' in result.stdout
