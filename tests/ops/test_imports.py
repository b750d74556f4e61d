"""The ops are of use without any OpenMMLab package."""

from __future__ import annotations

import subprocess
import sys


def test_ops_import_torch_alone() -> None:
    code = (
        'import sys; sys.modules["mmengine"] = None; import torch, mmdynamicvis.ops as ops; '
        'tokens, scorer, norm = torch.eye(3).unsqueeze(0), torch.arange(3.0), torch.ones(3); '
        'print(ops.token_select(tokens, scorer, norm, 2).indices.tolist())'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == '[[1, 2]]'
