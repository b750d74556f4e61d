"""What a new model starts from."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from mmdynamicvis.models import DynamicVis, MambaMixer


def test_mixers_start_as_the_mamba_paper_says(build: Callable) -> None:
    arch = dict(embed_dims=(96, 16, 16, 16), depths=(2, 1, 1, 1))
    model = build(arch=arch, out_indices=(0,))
    model.init_weights()
    mixers = [module for module in model.modules() if isinstance(module, MambaMixer)]
    assert len(mixers) == 2
    for mixer in mixers:
        rates = torch.arange(1.0, 17).expand(192, 16)
        torch.testing.assert_close(mixer.A_log.exp(), rates)
        assert (mixer.D == 1).all()
        step = softplus(mixer.dt_proj.bias.detach())
        assert 1e-3 * 0.999 <= step.min() < 5e-3
        assert 5e-2 < step.max() <= 1e-1 * 1.001
        # evenly spread on a logarithmic scale
        assert step.log().mean().item() == pytest.approx(torch.tensor(1e-2).log().item(), abs=0.4)
        assert mixer.dt_proj.weight.abs().max() <= 6**-0.5


def test_patch_mergers_keep_the_variance(build: Callable) -> None:
    model = build()
    model.init_weights()
    for stage in model.stages:
        projection = stage.merger.projection
        fan_in = projection.weight[0].numel()
        assert projection.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.1)
        assert 0.3 * fan_in**-0.5 < projection.bias.std().item() < fan_in**-0.5


@pytest.mark.parametrize('position_embedding', [True, False])
@pytest.mark.parametrize('reduction_ratios', [(7 / 8, 3 / 4, 1 / 2, 0), None])
def test_padding_keeps_gradients_small(reduction_ratios, position_embedding) -> None:
    """Hosts pad with zeros, after the image was normalized."""
    torch.manual_seed(0)
    model = DynamicVis(
        'tiny', reduction_ratios=reduction_ratios, position_embedding=position_embedding
    )
    model.init_weights()
    norms = []
    for padding in (0.0, 0.5):
        model.zero_grad()
        image = torch.randn(1, 3, 128, 128)
        image[..., 64:] = padding
        sum(x.square().mean() for x in model(image)).backward()
        gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        norms.append(torch.stack(gradients).norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=1)


def test_a_second_call_changes_nothing(build: Callable, log: pytest.LogCaptureFixture) -> None:
    model = build()
    model.init_weights()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nn.init.ones_(model.stages[0].norm.bias)
    before['stages.0.norm.bias'].fill_(1)
    model.init_weights()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert any(
        'more than once' in record.getMessage() and record.levelno == logging.WARNING
        for record in log.records
    )


def test_another_init_cfg_is_followed(build: Callable) -> None:
    model = build(init_cfg=dict(type='Constant', layer='Conv2d', val=0.5, bias=0.25))
    model.init_weights()
    assert all((stage.merger.projection.weight == 0.5).all() for stage in model.stages)
