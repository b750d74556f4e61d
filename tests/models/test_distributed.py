"""Training on two real processes, without find_unused_parameters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('in_processes.py')


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [
        # every process draws its own noise, so only without it a single process does the same
        dict(selection_noise=None),
        pytest.param(
            dict(selection_noise=None, with_cp=True, frozen_stages=0, scan_mode='gate'),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            dict(reduction_ratios=None, out_type='avg_featmap'), marks=pytest.mark.exhaustive
        ),
    ],
    ids=['default', 'checkpointing, frozen stage, gate', 'dense, averaged'],
)
def test_two_processes_train_as_one(options: dict) -> None:
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    result = subprocess.run(
        [*command, str(SCRIPT), json.dumps(options)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert 'processes agree: 2' in result.stdout
