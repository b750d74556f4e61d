"""Configs that the hosts ship, drawn at random, with DynamicVis as their backbone."""

from __future__ import annotations

import os
from datetime import date
from fnmatch import fnmatch

import pytest
import torch
from mmengine.registry import DefaultScope

from .exceptions import UNFIT, Unfit, fits
from .shipped import Shipped, all_shipped, draw, make_small, swap
from .step import build, take_step

COUNT = 10
SEED = int(os.environ.get('MMDYNAMICVIS_SEED') or date.today().toordinal())
"""Another draw every day; to repeat one, set the variable to the seed that a failure names."""


@pytest.fixture(scope='module')
def drawn() -> list[Shipped]:
    return list(draw(SEED, COUNT, fits))


def train(shipped: Shipped) -> None:
    cfg = shipped.load()
    swap(cfg)
    make_small(cfg.model)
    make_small(cfg.optim_wrapper)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = build(shipped.host, cfg)
        before = take_step(model, cfg.optim_wrapper, shipped.batch(cfg))
    after = model.backbone.named_parameters()
    # a host's small learning rate and clipped gradients may leave some weights as they were
    assert any(not torch.equal(weight, before[name]) for name, weight in after)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(COUNT))
def test_drawn_config_trains(drawn: list[Shipped], number: int) -> None:
    print(f'MMDYNAMICVIS_SEED={SEED}: {drawn[number]}')
    train(drawn[number])


@pytest.mark.slow
def test_draws_differ_by_seed_and_repeat(drawn: list[Shipped]) -> None:
    assert len({shipped.family for shipped in drawn}) == COUNT
    wanted = drawn.__contains__
    assert set(draw(SEED, COUNT, wanted)) == set(drawn)
    assert list(draw(0, COUNT, wanted)) == list(draw(0, COUNT, wanted))
    assert list(draw(0, COUNT, wanted)) != list(draw(1, COUNT, wanted))


def test_all_exceptions_are_shipped() -> None:
    names = [str(shipped) for shipped in all_shipped()]
    patterns = [pattern for unfit in UNFIT for pattern in unfit.patterns]
    assert [p for p in patterns if not any(fnmatch(name, p) for name in names)] == []


def examples(unfit: Unfit) -> list[Shipped]:
    """The first config of each pattern."""
    every = all_shipped()
    return [next(s for s in every if fnmatch(str(s), pattern)) for pattern in unfit.patterns]


@pytest.mark.slow
@pytest.mark.parametrize('unfit', UNFIT, ids=lambda unfit: unfit.patterns[0])
def test_exception_is_real(unfit: Unfit) -> None:
    assert (unfit.error is None) != (unfit.shown is None)
    for shipped in examples(unfit):
        if unfit.shown is not None:
            assert unfit.shown(shipped.load().model), shipped
            continue
        with pytest.raises(Exception) as raised:
            train(shipped)
        assert unfit.error in repr(raised.value), shipped
