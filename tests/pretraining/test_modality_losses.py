from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from mmdynamicvis.pretraining.modality_losses import (
    cell_info_nce,
    hidden_patch_loss,
    random_projection_targets,
)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return a @ b / (a.norm() * b.norm())


def info_nce_oracle(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    n, total = len(a), 0
    for i in range(n):
        own = (cosine(a[i], b[i]) / temperature).exp()
        to_b = sum((cosine(a[i], b[j]) / temperature).exp() for j in range(n))
        to_a = sum((cosine(a[j], b[i]) / temperature).exp() for j in range(n))
        total = total - (own / to_b).log() - (own / to_a).log()
    return total / (2 * n)


def hidden_oracle(
    predicted: Tensor, targets: Tensor, hidden: Tensor, temperature: float, same: float
) -> Tensor:
    total, count = torch.zeros((), dtype=torch.float64), 0
    for p, t, hides in zip(predicted, targets, hidden.tolist(), strict=True):
        patches = [i for i, is_hidden in enumerate(hides) if is_hidden]
        for i in patches:
            own = bottom = (cosine(p[i], t[i]) / temperature).exp()
            for j in patches:
                if j != i and cosine(t[i], t[j]) < same:
                    bottom = bottom + (cosine(p[i], t[j]) / temperature).exp()
            total = total - (own / bottom).log()
            count += 1
    return total / max(count, 1)


def rows(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def hidden_case(seed: int = 0, B: int = 3, N: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Two patches of the first sample have the same target up to scale; the last has none."""
    predicted, targets = rows(B, N, 4, seed=seed), rows(B, N, 4, seed=seed + 1)
    targets[0, 1] = 2 * targets[0, 0]
    hidden = rows(B, N, seed=seed + 2) < 0.3
    hidden[0, :3] = True
    hidden[-1] = False
    return predicted, targets, hidden


def assert_equals_the_oracle(loss, oracle, leaves: list[Tensor]) -> None:
    found = torch.autograd.grad(loss, leaves)
    expected = torch.autograd.grad(oracle, leaves)
    torch.testing.assert_close(loss, oracle, rtol=1e-9, atol=1e-9)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


@given(st.integers(1, 8), st.integers(0, 10**6), st.floats(0.05, 2))
def test_info_nce_equals_the_oracle(n_cells, seed, temperature):
    leaves = [rows(n_cells, 5, seed=seed + i).requires_grad_() for i in range(2)]
    loss = cell_info_nce(*leaves, temperature)
    assert_equals_the_oracle(loss, info_nce_oracle(*leaves, temperature), leaves)


@given(st.integers(0, 10**6), st.floats(0.05, 2))
def test_hidden_patch_loss_equals_the_oracle(seed, temperature):
    predicted, targets, hidden = hidden_case(seed)
    predicted.requires_grad_()
    loss = hidden_patch_loss(predicted, targets, hidden, temperature)
    oracle = hidden_oracle(predicted, targets, hidden, temperature, 0.999)
    assert_equals_the_oracle(loss, oracle, [predicted])


def test_gradients():
    a, b = rows(5, 3).requires_grad_(), rows(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(cell_info_nce, (a, b))
    predicted, targets, hidden = hidden_case()
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: hidden_patch_loss(p, targets, hidden), predicted)


def test_info_nce_is_symmetric_and_ignores_the_order_of_cells():
    a, b = rows(7, 4), rows(7, 4, seed=1)
    loss = cell_info_nce(a, b)
    torch.testing.assert_close(cell_info_nce(b, a), loss)
    order = torch.randperm(7)
    torch.testing.assert_close(cell_info_nce(a[order], b[order]), loss)
    assert not torch.isclose(cell_info_nce(a[order], b), loss)


def test_only_hidden_patches_of_the_same_sample_count():
    predicted, targets, hidden = hidden_case()
    loss = hidden_patch_loss(predicted, targets, hidden)
    hidden_BN1 = hidden[..., None]
    other = (torch.where(hidden_BN1, x, rows(3, 6, 4, seed=9)) for x in (predicted, targets))
    torch.testing.assert_close(hidden_patch_loss(*other, hidden), loss)
    samples = zip(predicted, targets, hidden, strict=True)
    alone = [hidden_patch_loss(p[None], t[None], h[None]) for p, t, h in samples]
    counts = hidden.sum(1)
    torch.testing.assert_close((torch.stack(alone) * counts).sum() / counts.sum(), loss)


def test_patches_with_the_same_target_are_not_told_apart():
    """A constant prediction is perfect for equal patches, and at the level of chance otherwise."""
    predicted, hidden = torch.ones(1, 8, 8), torch.ones(1, 8).bool()
    water = torch.ones(1, 8, 8) * torch.arange(1, 9)[:, None]
    assert hidden_patch_loss(predicted, water, hidden).item() == pytest.approx(0, abs=1e-6)
    different = one_hot(torch.arange(8)).float()[None]
    assert hidden_patch_loss(predicted, different, hidden).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_stay_finite_at_a_low_temperature(dtype):
    a = torch.eye(4, dtype=dtype).requires_grad_()
    b = -torch.eye(4, dtype=dtype)
    losses = [
        cell_info_nce(a, b, 0.01),
        hidden_patch_loss(a[None], b[None], torch.ones(1, 4).bool(), 0.01),
    ]
    for loss in losses:
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(100 + math.log(3), rel=1e-3)
        assert torch.autograd.grad(loss, a)[0].isfinite().all()


def test_autocast_does_not_touch_them():
    a, b = rows(9, 4).float(), rows(9, 4, seed=1).float()
    matrix, hidden = rows(4 * 9, 4).float(), torch.ones(1, 9).bool()
    pixels = rows(1, 4, 9, 9).float()

    def compute() -> list[Tensor]:
        return [
            cell_info_nce(a, b),
            hidden_patch_loss(a[None], b[None], hidden),
            random_projection_targets(pixels, matrix, (3, 3)),
        ]

    expected = compute()
    with torch.autocast('cpu', torch.bfloat16):
        assert all(torch.equal(x, y) for x, y in zip(compute(), expected, strict=True))


def test_without_cells_they_are_zero_with_gradients():
    a, b = torch.zeros(0, 4, requires_grad=True), torch.zeros(0, 4)
    predicted = torch.randn(2, 3, 4, requires_grad=True)
    losses = [
        (cell_info_nce(a, b), a),
        (hidden_patch_loss(predicted, predicted + 1, torch.zeros(2, 3).bool()), predicted),
    ]
    for loss, leaf in losses:
        assert loss.item() == 0
        assert (torch.autograd.grad(loss, leaf)[0] == 0).all()


def test_targets_get_no_gradient():
    predicted, targets, hidden = hidden_case()
    targets.requires_grad_()
    hidden_patch_loss(predicted.requires_grad_(), targets, hidden).backward()
    assert targets.grad is None


@pytest.mark.parametrize('k', [1, 3])
def test_targets_are_projections_of_the_pixels_of_a_cell(k):
    pixels, matrix = rows(2, 4, 5 * k, 3 * k), rows(4 * k * k, 7)
    found = random_projection_targets(pixels, matrix, (5, 3))
    for b in range(2):
        for row in range(5):
            for column in range(3):
                expected = torch.zeros(7, dtype=torch.float64)
                for c in range(4):
                    for y in range(k):
                        for x in range(k):
                            value = pixels[b, c, row * k + y, column * k + x]
                            expected += value * matrix[(c * k + y) * k + x]
                torch.testing.assert_close(found[b, row * 3 + column], expected)
