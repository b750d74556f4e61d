from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.pretraining import mil_nce_loss


def oracle(regions: Tensor, labels: Tensor, categories: Tensor, scale: float) -> float:
    """Equation 14, term by term, in float64."""
    v = [r / r.norm() for r in regions.double()]
    t = [c / c.norm() for c in categories.double()]
    similarity = [[math.exp(scale * float(a @ b)) for b in t] for a in v]
    n_regions, n_categories = len(v), len(t)
    to_category = -sum(
        math.log(similarity[r][labels[r]] / sum(similarity[r])) for r in range(n_regions)
    )
    to_regions, present = 0.0, 0
    for c in range(n_categories):
        own = [similarity[r][c] for r in range(n_regions) if labels[r] == c]
        if own:
            present += 1
            to_regions -= math.log(sum(own) / sum(row[c] for row in similarity))
    return (to_category / n_regions + to_regions / present) / 2


def make(n_regions: int, n_categories: int, seed: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randn(n_regions, 6, generator=generator, dtype=torch.float64).to(dtype)
    categories = torch.randn(n_categories, 6, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(n_categories, (n_regions,), generator=generator)
    return regions, labels, categories


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10**6), st.floats(0.1, 100))
def test_equals_the_oracle(n_regions, n_categories, seed, scale):
    regions, labels, categories = make(n_regions, n_categories, seed)
    loss = mil_nce_loss(regions, labels, categories, torch.tensor(scale, dtype=torch.float64))
    assert loss.item() == pytest.approx(
        oracle(regions, labels, categories, scale), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize('n_categories', [1, 3, 12], ids='{} categories'.format)
def test_gradients(n_categories):
    regions, labels, categories = make(7, n_categories, 0)
    scale = torch.tensor(3.0, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in (regions, categories, scale)]
    assert torch.autograd.gradcheck(
        lambda r, c, s: mil_nce_loss(r, labels, c, s), leaves, check_forward_ad=False
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_stays_finite_at_the_largest_scale(dtype):
    """Regions far from their own category, where exponentials underflow."""
    categories = torch.eye(4, dtype=dtype).requires_grad_()
    regions = -torch.eye(4, dtype=dtype).requires_grad_()
    labels = torch.arange(4)
    loss = mil_nce_loss(regions, labels, categories, torch.tensor(100.0))
    gradients = torch.autograd.grad(loss, [regions, categories])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(100 + math.log(3), rel=1e-3)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_autocast_does_not_touch_it():
    regions, labels, categories = make(9, 5, 1, torch.float32)
    expected = mil_nce_loss(regions, labels, categories, torch.tensor(14.0))
    with torch.autocast('cpu', torch.bfloat16):
        loss = mil_nce_loss(regions, labels, categories, torch.tensor(14.0))
    assert torch.equal(loss, expected)


def test_absent_categories_are_skipped():
    regions, labels, categories = make(6, 4, 2)
    labels = labels % 2
    scale = torch.tensor(5.0, dtype=torch.float64)
    categories.requires_grad_()
    loss = mil_nce_loss(regions, labels, categories, scale)
    assert loss.item() == pytest.approx(oracle(regions, labels, categories.detach(), 5.0))
    # they still count as wrong answers for regions, and nothing is infinite
    (gradient,) = torch.autograd.grad(loss, categories)
    assert gradient.isfinite().all()
    assert (gradient[2:] != 0).any()


def test_without_regions_it_is_zero_with_gradients():
    categories = torch.randn(3, 6, requires_grad=True)
    regions = torch.zeros(0, 6, requires_grad=True)
    loss = mil_nce_loss(regions, torch.zeros(0, dtype=torch.long), categories, torch.tensor(14.0))
    (gradient,) = torch.autograd.grad(loss, categories)
    assert loss.item() == 0
    assert (gradient == 0).all()


def test_does_not_modify_its_arguments():
    arguments = (*make(8, 3, 4), torch.tensor(2.0, dtype=torch.float64))
    before = [x.clone() for x in arguments]
    mil_nce_loss(*arguments)
    assert all(torch.equal(x, y) for x, y in zip(arguments, before, strict=True))
