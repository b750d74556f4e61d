from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.exhaustive
def test_a_small_scene_from_end_to_end(checkout, tmp_path):
    script = checkout / 'tools/benchmark/scenes.py'
    options = ['--side', '700', '--tile', '128', '--out', tmp_path / 'a.json']
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / 'a.json').read_text())['rows']
    # one row of blocks has data, of two
    assert row['tiles'] == 49
    assert row['tiles with data'] == 42
    assert 0 < row['of these in the model'] < row['seconds per tile with data']
    assert row['peak above (MB)'] < 500
    assert str(tmp_path) not in json.dumps(row)
