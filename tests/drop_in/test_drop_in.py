"""DynamicVis in configs of the hosts: build, one training step, predict."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from .cases import CASES, Case


def params(cases: list[Case]) -> list:
    return [
        pytest.param(case, id=str(case), marks=pytest.mark.opencd if case.host == 'opencd' else ())
        for case in cases
    ]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    case = request.param
    if case.host == 'opencd' and case.path() is None:
        pytest.skip('open-cd is not installed from a clone, which alone has its configs')
    return case


@pytest.mark.parametrize('case', params(CASES), indirect=True)
def test_trains_and_predicts(case: Case) -> None:
    torch.manual_seed(0)
    cfg = case.load()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = import_module(f'{case.host}.registry').MODELS.build(cfg.model)
        model = revert_sync_batchnorm(model)
        model.init_weights()
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        weights = dict(model.backbone.named_parameters())
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        # the step clears the gradients, so they are looked at when they come
        grad_norms = {}
        for name, weight in weights.items():
            weight.register_post_accumulate_grad_hook(
                lambda w, name=name: grad_norms.update({name: w.grad.norm()})
            )

        model.train()
        losses = model.train_step(case.task.train_batch(), optim_wrapper)

        assert losses['loss'].isfinite()
        assert grad_norms.keys() == weights.keys()
        assert all(norm.isfinite() and norm > 0 for norm in grad_norms.values()), grad_norms
        assert [name for name, w in weights.items() if torch.equal(w, before[name])] == []
        case.task.check_predictions(model)


@pytest.mark.slow
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
