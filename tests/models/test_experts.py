"""Mixture of experts, against a sum over tokens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, rms_norm

from mmdynamicvis.models.experts import Experts, balance_loss


def build_experts(**arguments) -> Experts:
    torch.manual_seed(0)
    experts = Experts(6, **{'num': 4, 'ratio': 2, **arguments})
    for parameter in experts.parameters():
        nn.init.normal_(parameter, std=0.5)
    return experts


def naive(experts: Experts, tokens_BLC: Tensor) -> tuple[Tensor, Tensor]:
    """Token by token, in float64."""
    weights = {name: p.double() for name, p in experts.named_parameters()}
    rows, taken, gates = [], torch.zeros(experts.num).double(), 0
    for token in tokens_BLC.double().flatten(0, 1):
        x = rms_norm(token, (6,), weights['norm.weight'], 1e-5)
        gate = (weights['router.weight'] @ x).softmax(0)
        gates = gates + gate
        for e in gate.argsort(descending=True)[: experts.top_k].tolist():
            inner = gelu(weights['up_weight'][e] @ x + weights['up_bias'][e])
            token = token + gate[e] * (weights['down_weight'][e] @ inner + weights['down_bias'][e])
            taken[e] += 1 / experts.top_k
        rows.append(token)
    return torch.stack(rows).view_as(tokens_BLC), torch.stack([taken, gates])


@pytest.mark.parametrize('top_k', [1, 2, 4])
def test_equals_the_naive_sum(top_k: int) -> None:
    experts = build_experts(top_k=top_k)
    tokens = torch.randn(2, 9, 6, requires_grad=True)
    target, weight = torch.randn(2, 9, 6), torch.randn(2, 4)
    found = []
    for run in (experts, lambda x: naive(experts, x)):
        result, routing = run(tokens)
        total = (result * target).sum() + (routing * weight).sum() + balance_loss([routing])
        gradients = torch.autograd.grad(total, [tokens, *experts.parameters()])
        found.append((result, routing, *gradients))
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=1e-4, atol=1e-4)


def test_tokens_go_to_different_experts() -> None:
    _, (taken, _) = build_experts()(torch.randn(2, 50, 6))
    assert taken.sum() == 100
    assert (taken > 0).sum() > 1


def test_an_expert_without_tokens_has_a_gradient_of_zero() -> None:
    experts = build_experts()
    result, (taken, _) = experts(torch.randn(1, 1, 6))
    result.sum().backward()
    idle = taken == 0
    assert idle.sum() == 3
    assert not experts.down_weight.grad[idle].any()
    assert experts.down_weight.grad[~idle].any()


def test_new_experts_change_nothing() -> None:
    tokens = torch.randn(2, 9, 6)
    assert torch.equal(Experts(6)(tokens)[0], tokens)


def test_the_balance_loss_is_least_for_equal_use() -> None:
    even = torch.full((2, 4), 25.0)
    assert balance_loss([even]) == pytest.approx(1)
    one = torch.tensor([[100.0, 0, 0, 0]] * 2)
    assert balance_loss([one]) == pytest.approx(4)
    # two modalities with an expert each are balanced together
    assert balance_loss([one, one.roll(1, 1), one.roll(2, 1), one.roll(3, 1)]) == pytest.approx(1)


def test_an_export_runs_on_any_tokens() -> None:
    experts, tokens = build_experts(top_k=2).eval(), torch.randn(1, 9, 6)
    with torch.no_grad():
        exported = torch.export.export(experts, (tokens,)).module()
        for seed in range(3):
            tokens = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(seed))
            for actual, expected in zip(exported(tokens), experts(tokens), strict=True):
                torch.testing.assert_close(actual, expected)


def test_autocast_keeps_the_tokens_in_float32() -> None:
    experts, tokens = build_experts(), torch.randn(2, 9, 6)
    with torch.autocast('cpu', torch.bfloat16):
        result, routing = experts(tokens)
    assert result.dtype == routing.dtype == torch.float32
    torch.testing.assert_close(result, experts(tokens)[0], rtol=0.05, atol=0.1)


@pytest.mark.parametrize('ratio', [0, -1])
def test_bad_ratios_are_named(ratio: float) -> None:
    with pytest.raises(ValueError, match=f'ratio {ratio}; it must be positive'):
        Experts(6, ratio=ratio)
