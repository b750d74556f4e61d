"""DynamicVis in configs of the hosts: build, one training step, predict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from .cases import CASES, Case
from .step import build, take_step


def params(cases: list[Case]) -> list:
    marks = dict(opencd=pytest.mark.opencd)
    return [pytest.param(case, id=str(case), marks=marks.get(case.host, ())) for case in cases]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    case = request.param
    if case.host == 'mmrotate':
        pytest.importorskip('mmrotate')
    if case.host == 'opencd' and case.path() is None:
        pytest.skip('open-cd is not installed from a clone, which alone has its configs')
    return case


@pytest.mark.parametrize('case', params(CASES), indirect=True)
def test_trains_and_predicts(case: Case) -> None:
    torch.manual_seed(0)
    cfg = case.load()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = build(case.host, cfg)
        before = take_step(model, cfg.optim_wrapper, case.task.train_batch())
        after = model.backbone.named_parameters()
        assert [name for name, w in after if torch.equal(w, before[name])] == []
        case.task.check_predictions(model)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    'case', params({case.host: case for case in CASES}.values()), indirect=True
)
def test_scopes_suffice_in_a_fresh_process(case: Case, checkout: Path, tmp_path: Path) -> None:
    paths = [str(checkout), str(checkout / 'tests'), os.environ.get('PYTHONPATH', '')]
    result = subprocess.run(
        [sys.executable, '-m', 'drop_in.in_runner', str(case), str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
