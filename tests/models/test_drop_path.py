"""Stochastic depth: an image takes part in the mixer of a unit wholly, scaled up, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmdynamicvis.models import STIM


@pytest.mark.parametrize('ratio', [None, 0, 3 / 4], ids=['dense', 'all tokens', 'a quarter'])
def test_an_image_keeps_or_skips_the_mixer(ratio: float | None) -> None:
    torch.manual_seed(0)
    unit = STIM(8, ratio, {}, selection_noise=None, drop_path_rate=0.25).double()
    for parameter in unit.local.parameters():  # which every image takes
        torch.nn.init.zeros_(parameter)
    tokens = torch.randn(200, 12, 8, dtype=torch.float64)
    change = unit.eval()(tokens, (3, 4))[0] - tokens
    dropped = unit.train()(tokens, (3, 4))[0] - tokens
    skipped = dropped.flatten(1).abs().amax(1) == 0
    torch.testing.assert_close(dropped[~skipped], change[~skipped] / 0.75)
    assert 0.15 < skipped.double().mean() < 0.35


def test_rate_rises_linearly_to_the_last_unit(build: Callable) -> None:
    model = build(drop_path_rate=0.4)
    rates = [unit.drop_path_rate for stage in model.stages for unit in stage.units]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_eval_mode_skips_nothing(build: Callable, make_images: Callable) -> None:
    images = make_images(2, 3, 64, 64)
    outputs = build(drop_path_rate=0.9).eval()(images)
    for output, expected in zip(outputs, build().eval()(images), strict=True):
        assert torch.equal(output, expected)
