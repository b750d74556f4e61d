"""python -m mmdynamicvis.ops: what this machine can run, and whether it is right."""

from __future__ import annotations

import sys

import pytest

from mmdynamicvis.ops import __main__ as report
from mmdynamicvis.ops.causal_conv1d import BACKENDS, eager
from mmdynamicvis.ops.dispatch import NAMES, Backend


@pytest.mark.exhaustive
def test_the_table_has_a_line_for_every_backend(capsys: pytest.CaptureFixture) -> None:
    assert report.main() == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) >= sum(len(backends) for backends, _ in report.OPS.values())
    for line in lines:
        op, backend, _, *message = line.split()
        assert op in report.OPS
        assert backend in NAMES
        assert message[0] == 'right:' or 'cannot run' in line, line


def test_a_wrong_backend_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    wrong = Backend('eager', lambda *args: 1.001 * eager.causal_conv1d(*args))
    _, check = report.OPS['causal_conv1d']
    monkeypatch.setattr(report, 'OPS', {'causal_conv1d': ((wrong,), check)})
    package = sys.modules['mmdynamicvis.ops.causal_conv1d']  # the attribute of ops is the function
    monkeypatch.setattr(package, 'BACKENDS', (wrong, *BACKENDS[-1:]))
    assert report.main() == 1
    assert 'WRONG: off by 1.' in capsys.readouterr().out
